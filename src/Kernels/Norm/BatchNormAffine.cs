using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// A batch norm with fixed statistics as one factor and one summand a channel: scale = γ / √(variance + ε), shift = β − mean·scale, for the
/// convolution in front of it to apply on its way out. All (C).
/// </summary>
internal readonly unsafe record struct BatchNormAffine(
    TensorView Mean, TensorView Variance, TensorView Gamma, TensorView Beta, TensorView Scale, TensorView Shift, float Epsilon) : IKernel
{
    public Cost Cost => new(5.0 * Mean.Length, 6.0 * Mean.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormAffine);
        Check.Rank(Name, "mean", Mean, 1);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        Check.Shape(Name, "gamma", Gamma, Mean.Shape);
        Check.Shape(Name, "beta", Beta, Mean.Shape);
        Check.Shape(Name, "scale", Scale, Mean.Shape);
        Check.Shape(Name, "shift", Shift, Mean.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Check.Apart(Name, "scale", Scale, "shift", Shift);
    }

    public void Run(CpuDevice device)
    {
        for (int c = 0; c < Mean.Length; c++)
        {
            float scale = Gamma.F32[c] / MathF.Sqrt(Variance.F32[c] + Epsilon);
            (Scale.F32[c], Shift.F32[c]) = (scale, Beta.F32[c] - Mean.F32[c] * scale);
        }
    }

    public void Run(GpuDevice device) => device.LaunchFor(Kernel, Mean.Length, new Arguments(
        device.F32(Mean), device.F32(Variance), device.F32(Gamma), device.F32(Beta), device.F32(Scale), device.F32(Shift), Epsilon));

    internal readonly record struct Arguments(
        ArrayView<float> Mean, ArrayView<float> Variance, ArrayView<float> Gamma, ArrayView<float> Beta, ArrayView<float> Scale, ArrayView<float> Shift, float Epsilon);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex;
        if (c >= a.Mean.Length)
            return;
        float scale = a.Gamma[c] / MathF.Sqrt(a.Variance[c] + a.Epsilon);
        a.Shift[c] = a.Beta[c] - a.Mean[c] * scale;
        a.Scale[c] = scale;
    }
}
