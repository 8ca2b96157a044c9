using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Device memory. Asking the driver for some makes it wait for everything under way, so it is asked rarely: small blocks are cut from
/// slabs, large ones are kept when they are returned. A training step after the first finds all it needs here.
/// </summary>
internal sealed class GpuMemoryPool(Device device, Accelerator accelerator) : MemoryPool(device)
{
    private const long SlabBytes = 16 << 20, LargestCut = 1 << 20;

    private readonly List<Slab> slabs = [];

    /// <summary>How often the driver was asked for memory.</summary>
    public long DriverAllocations { get; private set; }

    /// <summary>What the driver has given and not got back.</summary>
    public long DriverBytes { get; private set; }

    protected override DeviceBuffer? Allocate(long bytes)
    {
        if (bytes > LargestCut)
            return AskDriver(bytes) is { } own ? new GpuBuffer(Device, own, null, 0, bytes) : null;
        foreach (var slab in slabs)
            if (slab.Cut(bytes) is >= 0 and var start)
                return new GpuBuffer(Device, slab.Buffer, slab, start, bytes);
        if (AskDriver(SlabBytes) is not { } memory)
            return null;
        slabs.Add(new Slab(memory));
        return new GpuBuffer(Device, memory, slabs[^1], slabs[^1].Cut(bytes), bytes);
    }

    protected override void Free(DeviceBuffer block)
    {
        var buffer = (GpuBuffer)block;
        if (buffer.Slab is { } slab)
        {
            slab.Return(buffer.Start, buffer.Bytes);
            if (!slab.IsWhole)
                return;
            slabs.Remove(slab);
        }
        DriverBytes -= buffer.Memory.Length;
        buffer.Memory.Dispose();
    }

    protected override long SystemBytes =>
        accelerator is CudaAccelerator cuda ? cuda.GetFreeMemory() : Math.Max(0, accelerator.MemorySize - DriverBytes);

    protected override string Room => accelerator is CudaAccelerator cuda
        ? $"; of {Size(cuda.MemorySize)} the driver has {Size(cuda.GetFreeMemory())} free"
        : $" of {Size(accelerator.MemorySize)}";

    private MemoryBuffer1D<byte, Stride1D.Dense>? AskDriver(long bytes)
    {
        try
        {
            var memory = accelerator.Allocate1D<byte>(bytes);
            DriverAllocations++;
            DriverBytes += bytes;
            return memory;
        }
        catch (Exception e) when (e is OutOfMemoryException or CudaException { Error: nameof(CudaError.CUDA_ERROR_OUT_OF_MEMORY) } or CLException)
        {
            return null;
        }
        catch (AcceleratorException e)
        {
            throw new KernelException($"{Device.Name} failed when asked for {Size(bytes)} of memory: {KernelLoader.Words(e)}");
        }
    }
}
