using ILGPU.Runtime;

namespace CudaKernels.Kernels.Devices;

/// <summary>A stream beside that of the kernels, for a library that moves values between devices; see <see cref="GpuDevice.Communicate"/>.</summary>
internal sealed class SideStream(Accelerator accelerator) : IDisposable
{
    public AcceleratorStream Stream { get; } = accelerator.CreateStream();

    /// <summary>The kernels' stream, up to the moment the side stream was last given work.</summary>
    public StreamEvent Computed { get; } = StreamEvent.Create(accelerator);

    /// <summary>The side stream, up to the moment at which it was last awaited.</summary>
    public StreamEvent Communicated { get; } = StreamEvent.Create(accelerator);

    /// <summary>It was given work that nobody has awaited.</summary>
    public bool IsAhead { get; set; }

    public void Dispose()
    {
        Communicated.Dispose();
        Computed.Dispose();
        Stream.Dispose();
    }
}
