using ILGPU;
using ILGPU.Runtime;

namespace CudaKernels.Kernels.Devices;

/// <summary>Device memory. The driver is asked once for each block of the pool; steps after the first find theirs in the cache.</summary>
internal sealed class GpuMemoryPool(Device device, Accelerator accelerator) : MemoryPool(device)
{
    private readonly Dictionary<nint, MemoryBuffer1D<byte, Stride1D.Dense>> buffers = [];

    /// <summary>The bytes of a block.</summary>
    public ArrayView<byte> Bytes(DeviceBuffer block) => buffers[block.Address].View;

    protected override nint Allocate(long bytes)
    {
        try
        {
            var buffer = accelerator.Allocate1D<byte>(bytes);
            buffers.Add(buffer.NativePtr, buffer);
            return buffer.NativePtr;
        }
        catch (Exception e) when (e is AcceleratorException or OutOfMemoryException)
        {
            return 0;
        }
    }

    protected override void Free(nint address)
    {
        buffers.Remove(address, out var buffer);
        buffer!.Dispose();
    }
}
