using System.Runtime.InteropServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>Host memory in 64-byte aligned blocks.</summary>
internal sealed unsafe class CpuMemoryPool(Device device) : MemoryPool(device)
{
    protected override nint Allocate(long bytes)
    {
        try
        {
            return (nint)NativeMemory.AlignedAlloc((nuint)bytes, 64);
        }
        catch (OutOfMemoryException)
        {
            return 0;
        }
    }

    protected override void Free(nint address) => NativeMemory.AlignedFree((void*)address);
}
