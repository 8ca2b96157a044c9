using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// Per image and channel: sumGrad = Σg and sumGradCentred = Σg·(x - mean), (N, C) each, g = gradY·act'(·) from the sign of y (y may be
/// absent without activation). The first half of the backward pass. See <see cref="NormGradientSums"/>.
/// </summary>
internal readonly record struct GroupNormReduceGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView SumGrad, TensorView SumGradCentred, Activation Activation) : IKernel
{
    public Cost Cost => new(5.0 * X.Length, X.Bytes + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes));

    public void Validate()
    {
        const string Name = nameof(GroupNormReduceGradient);
        GroupNormShapes.Validate(Name, X, Mean);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, X.Shape);
        else
            Check.Shape(Name, "y", Y, X.Shape);
        Check.Shape(Name, "gradY", GradY, X.Shape);
        var sums = new Shape(X.Shape[0], X.Shape.Channels);
        Check.Shape(Name, "sumGrad", SumGrad, sums);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, sums);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device) => Pass.Run(device);

    public void Run(GpuDevice device) => Pass.Run(device);

    private NormGradientSums Pass => new(NormLayout.Group(X.Shape, Mean.Shape[1]), X, Y, GradY, Mean, SumGrad, SumGradCentred, Activation);
}
