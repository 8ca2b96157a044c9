using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Tests;

/// <summary>A processor whose n-th kernel fails. Its pool counts tensors alone: scratch of kernels comes from another.</summary>
internal sealed class FailingDevice : Device
{
    private readonly CpuDevice inner = new(2);

    public FailingDevice() => Pool = new CpuMemoryPool(this);

    public int KernelsLeft { get; set; } = int.MaxValue;

    public override string Name => inner.Name;

    public override MemoryPool Pool { get; }

    public long ScratchBytes => inner.Pool.LiveBytes;

    public override void Run<TKernel>(in TKernel kernel)
    {
        if (--KernelsLeft < 0)
            throw new KernelException($"{typeof(TKernel).Name}: broken on purpose");
        inner.Run(kernel);
    }

    public override void Fill(TensorView view, float value) => inner.Fill(view, value);

    public override void Copy(TensorView from, TensorView to) => inner.Copy(from, to);

    public override void Upload<T>(ReadOnlySpan<T> from, TensorView to) => inner.Upload(from, to);

    public override void Download<T>(TensorView from, Span<T> to) => inner.Download(from, to);

    public override void Synchronize() => inner.Synchronize();

    public override void Dispose()
    {
        Pool.Dispose();
        inner.Dispose();
    }
}
