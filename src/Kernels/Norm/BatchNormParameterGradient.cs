using CudaKernels.Kernels.Devices;

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
            float gamma = (float)(SumGradCentred.F32[c] / Math.Sqrt((double)Variance.F32[c] + Epsilon)), beta = SumGrad.F32[c];
            GradGamma.F32[c] = Accumulate ? GradGamma.F32[c] + gamma : gamma;
            GradBeta.F32[c] = Accumulate ? GradBeta.F32[c] + beta : beta;
        }
    }
}
