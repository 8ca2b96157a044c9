using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>y = act(γ·(x - mean) / √(variance + ε) + β), mean and variance (N, G), γ and β per channel. y may be x. See <see cref="NormApply"/>.</summary>
internal readonly record struct GroupNormApply(
    TensorView X, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView Beta, TensorView Y, float Epsilon, Activation Activation) : IKernel
{
    public Cost Cost => new(4.0 * X.Length, X.Bytes + Y.Bytes);

    public void Validate()
    {
        const string Name = nameof(GroupNormApply);
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

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormApply Pass => new(NormLayout.Group(X.Shape, Mean.Shape[1]), X, Mean, Variance, Gamma, Beta, default, Y, Epsilon, Activation);
}
