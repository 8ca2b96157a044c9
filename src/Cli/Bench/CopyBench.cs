using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>What a device's memory can do: copies a block far larger than any cache. A byte counts when it is read and when it is written.</summary>
internal sealed class CopyBench
{
    private const int Processor = 16 << 20, Gpu = 256 << 20; // elements

    private readonly Device device;

    public CopyBench(Device device)
    {
        this.device = device;
        var shape = new Shape(device.Name.StartsWith("cuda", StringComparison.Ordinal) ? Gpu : Processor);
        (From, To) = (device.Rent(shape, DType.F32, "bench"), device.Rent(shape, DType.F32, "bench"));
        device.Fill(From, 1);
        device.Fill(To, 0);
    }

    public TensorView From { get; }

    public TensorView To { get; }

    public long Bytes => From.Bytes;

    /// <summary>GB/s of the device's own copy.</summary>
    public double DriverCopy() => Rate(() => device.Copy(From, To));

    /// <summary>GB/s of work that reads <see cref="From"/> and writes <see cref="To"/>: the median.</summary>
    public double Rate(Action work)
    {
        var times = DeviceTimer.Measure(device, work, 0.3);
        return 2 * Bytes / times[times.Count / 2] * 1e-6;
    }

    public void Return()
    {
        device.Return(From);
        device.Return(To);
    }
}
