using ILGPU;
using ILGPU.Runtime;

namespace CudaKernels.Kernels.Devices;

/// <summary>A block of device memory: a driver's buffer of its own, or a part of a slab.</summary>
internal sealed class GpuBuffer(Device device, MemoryBuffer1D<byte, Stride1D.Dense> memory, Slab? slab, long start, long bytes)
    : DeviceBuffer(device, memory.NativePtr + (nint)start, bytes)
{
    public ArrayView<byte> View { get; } = memory.View.AsContiguous().SubView(start, bytes);

    public MemoryBuffer1D<byte, Stride1D.Dense> Memory { get; } = memory;

    /// <summary>What it was cut from, at <see cref="Start"/>; null for a buffer of its own.</summary>
    public Slab? Slab { get; } = slab;

    public long Start { get; } = start;

    /// <summary>Count of the device's waits at which a kernel was last given the block: it is idle once that count has passed.</summary>
    public long LastUse { get; set; }
}
