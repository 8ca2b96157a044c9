using System.Runtime.InteropServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>Host memory in 64-byte aligned blocks.</summary>
internal sealed unsafe class CpuMemoryPool(Device device) : MemoryPool(device)
{
    protected override DeviceBuffer? Allocate(long bytes)
    {
        try
        {
            return new DeviceBuffer(Device, (nint)NativeMemory.AlignedAlloc((nuint)bytes, 64), bytes);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
    }

    protected override void Free(DeviceBuffer block) => NativeMemory.AlignedFree((void*)block.Address);
}
