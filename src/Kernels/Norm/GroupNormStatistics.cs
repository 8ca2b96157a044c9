using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// Per image n and group g of C/G neighbouring channels: mean and biased variance over all its pixels and channels (Wu and He 2018).
/// x (N, ..., C), mean and variance (N, G). See <see cref="NormMoments"/>.
/// </summary>
internal readonly record struct GroupNormStatistics(TensorView X, TensorView Mean, TensorView Variance) : IKernel
{
    public Cost Cost => new(6.0 * X.Length, X.Bytes);

    public void Validate()
    {
        GroupNormShapes.Validate(nameof(GroupNormStatistics), X, Mean);
        Check.Shape(nameof(GroupNormStatistics), "variance", Variance, Mean.Shape);
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormMoments Pass => new(NormLayout.Group(X.Shape, Mean.Shape[1]), X, Mean, Variance);
}

/// <summary>What the kernels of group norm ask of their views.</summary>
internal static class GroupNormShapes
{
    /// <summary>x is (N, ..., C), mean (N, G) and G divides C.</summary>
    public static void Validate(string operation, TensorView x, TensorView mean)
    {
        Check.That(!x.IsNone && x.Type == DType.F32 && x.Shape.Rank >= 2, operation, "x", "f32 of rank 2 or more", x);
        Check.Rank(operation, "mean", mean, 2);
        int groups = mean.Shape[1];
        Check.That(mean.Shape[0] == x.Shape[0] && groups >= 1 && x.Shape.Channels % groups == 0, operation, "mean",
            $"{x.Shape[0]} images and a divisor of {x.Shape.Channels} channels", mean);
    }
}
