using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// Per channel: sumGrad = Σg and sumGradCentred = Σg·(x - mean), where g = gradY·act'(·) is the gradient in front of the activation,
/// its derivative read from the sign of y (y may be absent without activation). The first half of the backward pass; synchronised
/// batch norm adds these sums over ranks. See <see cref="NormGradientSums"/>.
/// </summary>
internal readonly record struct BatchNormReduceGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView SumGrad, TensorView SumGradCentred, Activation Activation) : IKernel
{
    public Cost Cost => new(5.0 * X.Length, X.Bytes + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes));

    public void Validate()
    {
        const string Name = nameof(BatchNormReduceGradient);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, X.Shape);
        else
            Check.Shape(Name, "y", Y, X.Shape);
        Check.Shape(Name, "gradY", GradY, X.Shape);
        var channels = new Shape(X.Shape.Channels);
        Check.Shape(Name, "mean", Mean, channels);
        Check.Shape(Name, "sumGrad", SumGrad, channels);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, channels);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormGradientSums Pass => new(NormLayout.Batch(X.Shape), X, Y, GradY, Mean, SumGrad, SumGradCentred, Activation);
}
