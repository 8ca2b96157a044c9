using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// y = act(γ·(x - mean) / √(variance + ε) + β (+ residual)), with batch statistics in training and running ones in evaluation.
/// y may be x or the residual. See <see cref="NormApply"/>.
/// </summary>
internal readonly record struct BatchNormApply(
    TensorView X, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView Beta, TensorView Residual, TensorView Y,
    float Epsilon, Activation Activation) : IKernel
{
    public Cost Cost => new((Residual.IsNone ? 4.0 : 5.0) * X.Length, X.Bytes + Y.Bytes + Residual.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormApply);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        var channels = new Shape(X.Shape.Channels);
        Check.Shape(Name, "mean", Mean, channels);
        Check.Shape(Name, "variance", Variance, channels);
        Check.Shape(Name, "gamma", Gamma, channels);
        Check.Shape(Name, "beta", Beta, channels);
        Check.Optional(Name, "residual", Residual, X.Shape);
        Check.Shape(Name, "y", Y, X.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "x", X, "y", Y);
        Pointwise.CheckAlias(Name, "residual", Residual, "y", Y);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormApply Pass => new(NormLayout.Batch(X.Shape), X, Mean, Variance, Gamma, Beta, Residual, Y, Epsilon, Activation);
}
