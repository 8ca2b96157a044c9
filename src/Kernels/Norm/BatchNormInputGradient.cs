using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// With g = gradY·act'(·) (sign of y) and k = γ / √(variance + ε):
/// training: gradX (+)= k·(g - sumGrad/n - (x - mean)·sumGradCentred / (n·(variance + ε))); evaluation: gradX (+)= k·g, and the sums
/// are not read. gradResidual (+)= g, when there was a residual. n counts the rows behind the statistics (of all ranks).
/// The second half of the backward pass. gradX or gradResidual may be gradY. See <see cref="NormInputGradient"/>.
/// </summary>
internal readonly record struct BatchNormInputGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView SumGrad,
    TensorView SumGradCentred, RowCount Count, TensorView GradX, TensorView GradResidual, float Epsilon, Activation Activation, bool Training,
    bool Accumulate, bool AccumulateResidual = false) : IKernel
{
    public Cost Cost => new(6.0 * X.Length, (Training ? X.Bytes : 0) + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes)
        + GradX.Bytes * (Accumulate ? 2 : 1) + GradResidual.Bytes * (AccumulateResidual ? 2 : 1));

    public void Validate()
    {
        const string Name = nameof(BatchNormInputGradient);
        Check.That(!GradX.IsNone && GradX.Type == DType.F32 && GradX.Shape.Rank >= 1, Name, "gradX", "f32 of rank 1 or more", GradX);
        Check.Shape(Name, "gradY", GradY, GradX.Shape);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, GradX.Shape);
        else
            Check.Shape(Name, "y", Y, GradX.Shape);
        var channels = new Shape(GradX.Shape.Channels);
        Check.Shape(Name, "variance", Variance, channels);
        Check.Shape(Name, "gamma", Gamma, channels);
        if (Training)
        {
            Check.Shape(Name, "x", X, GradX.Shape);
            Check.Shape(Name, "mean", Mean, channels);
            Check.Shape(Name, "sumGrad", SumGrad, channels);
            Check.Shape(Name, "sumGradCentred", SumGradCentred, channels);
            Count.Validate(Name);
            Check.That(!Count.IsKnown || Count.Known >= GradX.Shape.Rows, Name, "count", $"the {GradX.Shape.Rows} rows here and those of other ranks", Count);
        }
        Check.Optional(Name, "gradResidual", GradResidual, GradX.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "gradY", GradY, "gradX", GradX);
        Pointwise.CheckAlias(Name, "gradY", GradY, "gradResidual", GradResidual);
        Pointwise.CheckAlias(Name, "x", X, "gradX", GradX);
        Pointwise.CheckAlias(Name, "y", Y, "gradX", GradX);
        Check.Apart(Name, "gradX", GradX, "gradResidual", GradResidual);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormInputGradient Pass => new(NormLayout.Batch(GradX.Shape), X, Y, GradY, Mean, Variance, Gamma, SumGrad, SumGradCentred, SumsHoldGamma: false,
        Count, GradX, GradResidual, Epsilon, Activation, Training, Accumulate, AccumulateResidual);
}
