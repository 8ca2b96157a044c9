using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// Per image n and group g of C/G neighbouring channels, over all its pixels and channels: mean and biased variance, written to (N, G), and
/// y = act(γ·(x - mean) / √(variance + ε) + β) with γ and β per channel (Wu and He 2018). x (N, ..., C); y may be x.
/// See <see cref="NormMoments"/> and <see cref="NormApply"/>; the processor takes a few images through both before the next ones.
/// </summary>
internal readonly record struct GroupNormForward(
    TensorView X, TensorView Gamma, TensorView Beta, TensorView Y, TensorView Mean, TensorView Variance, float Epsilon, Activation Activation) : IKernel
{
    public Cost Cost => new(10.0 * X.Length, X.Bytes + Y.Bytes);

    public void Validate()
    {
        const string Name = nameof(GroupNormForward);
        GroupNormShapes.Validate(Name, X, Mean);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        var channels = new Shape(X.Shape.Channels);
        Check.Shape(Name, "gamma", Gamma, channels);
        Check.Shape(Name, "beta", Beta, channels);
        Check.Shape(Name, "y", Y, X.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "x", X, "y", Y);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device)
    {
        int step = GroupNormShapes.AtOnce(X);
        for (int image = 0; image < X.Shape[0]; image += step)
        {
            var part = Images(image, Math.Min(step, X.Shape[0] - image));
            part.Moments.Run(device);
            part.Apply.Run(device);
        }
    }

    public void Run(GpuDevice device)
    {
        Moments.Run(device);
        Apply.Run(device);
    }

    private NormLayout Layout => NormLayout.Group(X.Shape, Mean.Shape[1]);

    private NormMoments Moments => new(Layout, X, Mean, Variance);

    private NormApply Apply => new(Layout, X, Mean, Variance, Gamma, Beta, default, Y, Epsilon, Activation);

    private GroupNormForward Images(int first, int count) => this with
    {
        X = GroupNormShapes.Images(X, first, count),
        Y = GroupNormShapes.Images(Y, first, count),
        Mean = GroupNormShapes.Images(Mean, first, count),
        Variance = GroupNormShapes.Images(Variance, first, count),
    };
}
