using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Detection;

/// <summary>
/// A device without arithmetic or memory: it checks every kernel and counts the multiply-accumulates of convolutions and linear
/// layers. Running a model on it gives its shapes and cost in no time. Nothing may read its views.
/// </summary>
internal sealed class ShapeDevice : Device
{
    /// <param name="room">Bytes that it claims to have.</param>
    public ShapeDevice(long room = long.MaxValue) => Pool = new EmptyPool(this, room);

    public override string Name => "shapes only";

    public override MemoryPool Pool { get; }

    /// <summary>Since the device was made. Of a deformable convolution its sampling is not counted, nor are norms, pooling or resizing.</summary>
    public long MultiplyAccumulates { get; private set; }

    public override bool HoldsValues => false;

    public override void Run<TKernel>(in TKernel kernel)
    {
        kernel.Validate();
        MultiplyAccumulates += kernel switch
        {
            Conv2dForward c => c.Y.Length * PerOutput(c.Weight),
            Conv2dMoments { Conv: var c } => c.Y.Length * PerOutput(c.Weight),
            DeformConv2dForward d => d.Y.Length * PerOutput(d.Weight),
            Conv2dInputGradient t => t.GradY.Length * PerOutput(t.Weight),
            LinearForward l => l.Y.Length * PerOutput(l.Weight),
            _ => 0,
        };
    }

    public override void Fill(TensorView view, float value)
    {
    }

    public override void Copy(TensorView from, TensorView to) => Check.Shape("Copy", "to", to, from.Shape, from.Type);

    public override void Upload<T>(ReadOnlySpan<T> from, TensorView to)
    {
    }

    public override void Download<T>(TensorView from, Span<T> to) =>
        throw new KernelException($"Download: device \"{Name}\" holds no values; run the model on a real device");

    public override void Synchronize()
    {
    }

    public override void Dispose() => Pool.Dispose();

    private static long PerOutput(TensorView weight) => weight.Length / weight.Shape[0];

    /// <summary>Hands out one address that must never be followed.</summary>
    private sealed class EmptyPool(Device device, long room) : MemoryPool(device)
    {
        protected override long SystemBytes => room - LiveBytes - CachedBytes;

        protected override DeviceBuffer Allocate(long bytes) => new(Device, 64, bytes);

        protected override void Free(DeviceBuffer block)
        {
        }
    }
}
