using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// gradGamma_c (+)= Σ_n sumGradCentred_nc / √(variance_ng + ε), gradBeta_c (+)= Σ_n sumGrad_nc; from the sums of
/// <see cref="GroupNormGradient"/>, images in order.
/// </summary>
internal readonly unsafe record struct GroupNormParameterGradient(
    TensorView SumGrad, TensorView SumGradCentred, TensorView Variance, TensorView GradGamma, TensorView GradBeta, float Epsilon, bool Accumulate) : IKernel
{
    public Cost Cost => new(3.0 * SumGrad.Length, 2.0 * SumGrad.Bytes);

    public void Validate()
    {
        const string Name = nameof(GroupNormParameterGradient);
        GroupNormShapes.Validate(Name, SumGrad, Variance);
        Check.Rank(Name, "sumGrad", SumGrad, 2);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, SumGrad.Shape);
        var channels = new Shape(SumGrad.Shape.Channels);
        Check.Shape(Name, "gradGamma", GradGamma, channels);
        Check.Shape(Name, "gradBeta", GradBeta, channels);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
    }

    public void Run(CpuDevice device)
    {
        var layout = NormLayout.Group(SumGrad.Shape, Variance.Shape[1]);
        for (int c = 0; c < layout.Channels; c++)
        {
            double gamma = 0, beta = 0;
            for (int image = 0; image < layout.Images; image++)
            {
                long at = (long)image * layout.Channels + c;
                gamma += SumGradCentred.F32[at] / Math.Sqrt((double)Variance.F32[image * layout.Groups + c / layout.GroupChannels] + Epsilon);
                beta += SumGrad.F32[at];
            }
            GradGamma.F32[c] = Accumulate ? GradGamma.F32[c] + (float)gamma : (float)gamma;
            GradBeta.F32[c] = Accumulate ? GradBeta.F32[c] + (float)beta : (float)beta;
        }
    }

    public void Run(GpuDevice device) => device.LaunchFor(Kernel, GradGamma.Length, new Arguments(
        device.F32(SumGrad), device.F32(SumGradCentred), device.F32(Variance), device.F32(GradGamma), device.F32(GradBeta),
        NormLayout.Group(SumGrad.Shape, Variance.Shape[1]), Epsilon, Accumulate ? 1 : 0));

    internal readonly record struct Arguments(
        ArrayView<float> SumGrad, ArrayView<float> SumGradCentred, ArrayView<float> Variance, ArrayView<float> GradGamma, ArrayView<float> GradBeta,
        NormLayout Layout, float Epsilon, int Accumulate);

    private static void Kernel(Arguments a)
    {
        int c = (int)Grid.GlobalLinearIndex, channels = a.Layout.Channels;
        if (c >= channels)
            return;
        double gamma = 0, beta = 0;
        for (int image = 0; image < a.Layout.Images; image++)
        {
            long at = (long)image * channels + c;
            gamma += a.SumGradCentred[at] / Math.Sqrt((double)a.Variance[(long)image * a.Layout.Groups + c / a.Layout.GroupChannels] + a.Epsilon);
            beta += a.SumGrad[at];
        }
        a.GradGamma[c] = a.Accumulate != 0 ? a.GradGamma[c] + (float)gamma : (float)gamma;
        a.GradBeta[c] = a.Accumulate != 0 ? a.GradBeta[c] + (float)beta : (float)beta;
    }
}
