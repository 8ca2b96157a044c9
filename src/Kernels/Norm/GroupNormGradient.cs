using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// With g = gradY·act'(·), from the sign of y (which may be absent without activation), per image and channel sumGrad = Σg and
/// sumGradCentred = Σg·(x - mean), (N, C) each; then, where gradX is wanted, with s = 1 / √(variance + ε), Z the elements of a group, and over
/// its channels B = Σγ·sumGrad, A = Σγ·sumGradCentred
///   gradX (+)= s·(γ·g - B/Z - (x - mean)·s²·A/Z)
/// (the kernel of PyTorch, rearranged around x - mean, so that a large mean does not cancel). gradX may be gradY.
/// See <see cref="NormGradientSums"/> and <see cref="NormInputGradient"/>; the processor takes a few images through both before the next ones.
/// </summary>
internal readonly unsafe record struct GroupNormGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView SumGrad,
    TensorView SumGradCentred, TensorView GradX, float Epsilon, Activation Activation, bool Accumulate) : IKernel
{
    public Cost Cost => new(11.0 * X.Length, X.Bytes + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes) + GradX.Bytes * (Accumulate ? 2 : 1));

    private NormLayout Layout => NormLayout.Group(X.Shape, Mean.Shape[1]);

    public void Validate()
    {
        const string Name = nameof(GroupNormGradient);
        GroupNormShapes.Validate(Name, X, Mean);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        Check.Shape(Name, "gradY", GradY, X.Shape);
        Check.Optional(Name, "gradX", GradX, X.Shape);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, X.Shape);
        else
            Check.Shape(Name, "y", Y, X.Shape);
        Check.Shape(Name, "gamma", Gamma, new Shape(X.Shape.Channels));
        var sums = new Shape(X.Shape[0], X.Shape.Channels);
        Check.Shape(Name, "sumGrad", SumGrad, sums);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, sums);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "gradY", GradY, "gradX", GradX);
        Pointwise.CheckAlias(Name, "x", X, "gradX", GradX);
        Pointwise.CheckAlias(Name, "y", Y, "gradX", GradX);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device)
    {
        int step = GroupNormShapes.AtOnce(X);
        for (int image = 0; image < X.Shape[0]; image += step)
            Images(image, Math.Min(step, X.Shape[0] - image)).RunTogether(device);
    }

    private void RunTogether(CpuDevice device)
    {
        Sums.Run(device);
        if (GradX.IsNone)
            return;
        using var sums = new Scratch(device, new Shape(2, Mean.Shape[0], Mean.Shape[1]), DType.F32, nameof(GroupNormGradient));
        var (weighted, centred) = Halves(sums);
        int count = Layout.GroupChannels;
        for (int group = 0; group < Mean.Length; group++)
        {
            double sum = 0, sumCentred = 0;
            for (int i = 0; i < count; i++)
            {
                float gamma = Gamma.F32[group % Layout.Groups * count + i];
                sum += gamma * (double)SumGrad.F32[(long)group * count + i];
                sumCentred += gamma * (double)SumGradCentred.F32[(long)group * count + i];
            }
            weighted.F32[group] = (float)sum;
            centred.F32[group] = (float)sumCentred;
        }
        InputGradient(weighted, centred).Run(device);
    }

    public void Run(GpuDevice device)
    {
        Sums.Run(device);
        if (GradX.IsNone)
            return;
        using var sums = new Scratch(device, new Shape(2, Mean.Shape[0], Mean.Shape[1]), DType.F32, nameof(GroupNormGradient));
        var (weighted, centred) = Halves(sums);
        device.LaunchFor(WeightKernel, Mean.Length, new WeightArguments(
            device.F32(SumGrad), device.F32(SumGradCentred), device.F32(Gamma), device.F32(weighted), device.F32(centred), Layout));
        InputGradient(weighted, centred).Run(device);
    }

    internal readonly record struct WeightArguments(
        ArrayView<float> SumGrad, ArrayView<float> SumGradCentred, ArrayView<float> Gamma, ArrayView<float> Weighted, ArrayView<float> Centred, NormLayout Layout);

    private static void WeightKernel(WeightArguments a)
    {
        long group = Grid.GlobalLinearIndex;
        if (group >= a.Weighted.Length)
            return;
        int count = a.Layout.GroupChannels;
        long first = group % a.Layout.Groups * count;
        double sum = 0, sumCentred = 0;
        for (int i = 0; i < count; i++)
        {
            double gamma = a.Gamma[first + i];
            sum += gamma * a.SumGrad[group * count + i];
            sumCentred += gamma * a.SumGradCentred[group * count + i];
        }
        a.Weighted[group] = (float)sum;
        a.Centred[group] = (float)sumCentred;
    }

    private (TensorView Weighted, TensorView Centred) Halves(TensorView sums) =>
        (sums.Slice(0, Mean.Shape), sums.Slice(Mean.Length, Mean.Shape));

    private NormGradientSums Sums => new(Layout, X, Y, GradY, Mean, SumGrad, SumGradCentred, Activation);

    private NormInputGradient InputGradient(TensorView weighted, TensorView centred) => new(Layout, X, Y, GradY, Mean, Variance, Gamma, weighted, centred,
        SumsHoldGamma: true, Layout.GroupLength, GradX, default, Epsilon, Activation, Training: true, Accumulate, AccumulateResidual: false);

    private GroupNormGradient Images(int first, int count) => this with
    {
        X = GroupNormShapes.Images(X, first, count),
        Y = GroupNormShapes.Images(Y, first, count),
        GradY = GroupNormShapes.Images(GradY, first, count),
        GradX = GroupNormShapes.Images(GradX, first, count),
        Mean = GroupNormShapes.Images(Mean, first, count),
        Variance = GroupNormShapes.Images(Variance, first, count),
        SumGrad = GroupNormShapes.Images(SumGrad, first, count),
        SumGradCentred = GroupNormShapes.Images(SumGradCentred, first, count),
    };
}
