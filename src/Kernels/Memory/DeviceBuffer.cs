using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>A block of a device's memory, handed out and taken back by its <see cref="MemoryPool"/>.</summary>
internal class DeviceBuffer(Device device, nint address, long bytes)
{
    public Device Device { get; } = device;

    /// <summary>Where it begins, in the device's own terms.</summary>
    public nint Address { get; } = address;

    /// <summary>Capacity: the size class, not what was asked for.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>Operation that holds the block, for reports; null while the block is free.</summary>
    public string? Owner { get; set; }
}
