using System.Runtime.InteropServices;

namespace CudaKernels.Comm;

/// <summary>A block of host memory that grows as needed and is used again.</summary>
internal sealed unsafe class HostMemory : IDisposable
{
    private byte* address;
    private long capacity;

    /// <summary>The block, of at least so many bytes; what was in it is lost when it had to grow.</summary>
    public byte* AtLeast(long bytes)
    {
        if (bytes > capacity)
        {
            Dispose();
            address = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
            capacity = bytes;
        }
        return address;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(address);
        address = null;
        capacity = 0;
    }
}
