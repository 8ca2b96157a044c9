using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// One step of Adam or AdamW over a flat block, d = factor·g (Adam: + decay·w), step number k = 1, 2, …:
///   m ← β1 m + (1−β1) d;   v ← β2 v + (1−β2) d²
///   w ← (1 − rate·decay) w first (AdamW);   w ← w − rate/(1−β1^k) · m / (√v/√(1−β2^k) + ε)
/// Groups with their own rate and decay are slices of the block, one run each.
/// </summary>
/// <param name="Value">f32 parameters, updated.</param>
/// <param name="Gradient">Same length.</param>
/// <param name="FirstMoment">m, updated; zero before the first step.</param>
/// <param name="SecondMoment">v, updated; zero before the first step.</param>
/// <param name="LearningRate">Rate of this slice.</param>
/// <param name="Step">k.</param>
/// <param name="Beta1">Decay of m.</param>
/// <param name="Beta2">Decay of v.</param>
/// <param name="Epsilon">ε.</param>
/// <param name="WeightDecay">Decay of this slice.</param>
/// <param name="Decoupled">True: AdamW. False: the decay is part of the gradient.</param>
/// <param name="Guard">Optional f32[2] of <see cref="ClipFactor"/>: gradient factor, and 0 to leave everything as it is.</param>
internal readonly record struct AdamStep(
    TensorView Value, TensorView Gradient, TensorView FirstMoment, TensorView SecondMoment, float LearningRate, long Step,
    double Beta1 = 0.9, double Beta2 = 0.999, float Epsilon = 1e-8f, float WeightDecay = 0, bool Decoupled = true,
    TensorView Guard = default) : IKernel
{
    public Cost Cost => new(15.0 * Value.Length, 6 * Value.Bytes + Gradient.Bytes);

    public void Validate()
    {
        const string operation = nameof(AdamStep);
        FlatStep.Validate(operation, Value, Gradient, Guard);
        Check.Shape(operation, "first moment", FirstMoment, Value.Shape);
        Check.Shape(operation, "second moment", SecondMoment, Value.Shape);
        Check.Apart(operation, "first moment", FirstMoment, "second moment", SecondMoment);
        Check.Apart(operation, "first moment", FirstMoment, "value", Value);
        Check.Apart(operation, "second moment", SecondMoment, "value", Value);
        Check.Apart(operation, "first moment", FirstMoment, "gradient", Gradient);
        Check.Apart(operation, "second moment", SecondMoment, "gradient", Gradient);
        Check.That(Step >= 1, operation, "step", "a number from 1", Step);
    }

    public void Run(CpuDevice device)
    {
        if (!FlatStep.Active(Guard, out float factor))
            return;
        FlatStep.Run(device, new Element(this, factor), Value, Gradient, FirstMoment, SecondMoment);
    }

    public void Run(GpuDevice device) => FlatStep.Run(device, new Element(this, 1), Value, Gradient, FirstMoment, SecondMoment, Guard);

    internal readonly struct Element(in AdamStep step, float factor) : IFlatStep
    {
        private readonly float factor = factor, epsilon = step.Epsilon;
        private readonly float beta1 = (float)step.Beta1, fresh1 = (float)(1 - step.Beta1);
        private readonly float beta2 = (float)step.Beta2, fresh2 = (float)(1 - step.Beta2);
        private readonly float rate = (float)(step.LearningRate / (1 - Math.Pow(step.Beta1, step.Step)));
        private readonly float rootScale = (float)(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step)));
        private readonly float decay = step.Decoupled ? 0 : step.WeightDecay;
        private readonly float keep = step.Decoupled ? 1 - step.LearningRate * step.WeightDecay : 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector value, TVector gradient, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector>
        {
            var d = TVector.Fma(TVector.Create(factor), gradient, TVector.Create(decay) * value);
            first = TVector.Fma(TVector.Create(beta1), first, TVector.Create(fresh1) * d);
            second = TVector.Fma(TVector.Create(beta2), second, TVector.Create(fresh2) * d * d);
            var root = TVector.Fma(TVector.Sqrt(second), TVector.Create(rootScale), TVector.Create(epsilon));
            return TVector.Create(keep) * value - TVector.Create(rate) * first / root;
        }
    }
}
