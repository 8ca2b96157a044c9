using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>Per channel over all rows: mean = Σx / n, variance = Σ(x - mean)² / n (biased). No rows: both 0. See <see cref="NormMoments"/>.</summary>
internal readonly record struct BatchNormStatistics(TensorView X, TensorView Mean, TensorView Variance) : IKernel
{
    public Cost Cost => new(6.0 * X.Length, X.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormStatistics);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        Check.Shape(Name, "mean", Mean, new Shape(X.Shape.Channels));
        Check.Shape(Name, "variance", Variance, new Shape(X.Shape.Channels));
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormMoments Pass => new(NormLayout.Batch(X.Shape), X, Mean, Variance);
}
