using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>gradGamma (+)= sumGradCentred / √(variance + ε), gradBeta (+)= sumGrad; from the sums of <see cref="BatchNormReduceGradient"/>.</summary>
internal readonly unsafe record struct BatchNormParameterGradient(
    TensorView SumGrad, TensorView SumGradCentred, TensorView Variance, TensorView GradGamma, TensorView GradBeta, float Epsilon, bool Accumulate) : IKernel
{
    public Cost Cost => new(4.0 * SumGrad.Length, 5.0 * SumGrad.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormParameterGradient);
        Check.Rank(Name, "sumGrad", SumGrad, 1);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, SumGrad.Shape);
        Check.Shape(Name, "variance", Variance, SumGrad.Shape);
        Check.Shape(Name, "gradGamma", GradGamma, SumGrad.Shape);
        Check.Shape(Name, "gradBeta", GradBeta, SumGrad.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
    }

    public void Run(CpuDevice device)
    {
        for (int c = 0; c < SumGrad.Length; c++)
        {
            float gamma = NormApply.OverDeviation(SumGradCentred.F32[c], (double)Variance.F32[c] + Epsilon), beta = SumGrad.F32[c];
            GradGamma.F32[c] = Accumulate ? GradGamma.F32[c] + gamma : gamma;
            GradBeta.F32[c] = Accumulate ? GradBeta.F32[c] + beta : beta;
        }
    }

    public void Run(GpuDevice device) => device.LaunchFor(Kernel, SumGrad.Length, new Arguments(
        device.F32(SumGrad), device.F32(SumGradCentred), device.F32(Variance), device.F32(GradGamma), device.F32(GradBeta), Epsilon, Accumulate ? 1 : 0));

    internal readonly record struct Arguments(
        ArrayView<float> SumGrad, ArrayView<float> SumGradCentred, ArrayView<float> Variance, ArrayView<float> GradGamma, ArrayView<float> GradBeta,
        float Epsilon, int Accumulate);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex;
        if (c >= a.SumGrad.Length)
            return;
        float gamma = NormApply.OverDeviation(a.SumGradCentred[c], (double)a.Variance[c] + a.Epsilon), beta = a.SumGrad[c];
        a.GradGamma[c] = a.Accumulate != 0 ? a.GradGamma[c] + gamma : gamma;
        a.GradBeta[c] = a.Accumulate != 0 ? a.GradBeta[c] + beta : beta;
    }
}
