using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Binary cross entropy of σ(x) with targets in [0,1] and an optional weight P of positives per channel:
///   L = −P t ln σ(x) − (1−t) ln(1−σ(x)),   ∂L/∂x = (1−t) σ(x) − P t (1−σ(x))
/// Loss = Scale/Normalizer · Σ Weight·L. Finite for any finite logit.
/// </summary>
/// <param name="Logits">Any shape.</param>
/// <param name="Target">In [0,1], shape of the logits.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradLogits">Optional, written.</param>
/// <param name="Elements">Optional, written: Weight·L of every element, without scale.</param>
/// <param name="Weight">Optional, shape of the logits; also the upstream gradient of the elements.</param>
/// <param name="PositiveWeight">Optional P, f32[channels].</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="Scale">Weight of the loss; 1/length makes it a mean.</param>
internal readonly unsafe record struct BceWithLogitsLoss(
    TensorView Logits, TensorView Target, TensorView Loss, TensorView GradLogits = default, TensorView Elements = default,
    TensorView Weight = default, TensorView PositiveWeight = default, TensorView Normalizer = default, float Scale = 1) : IKernel
{
    public Cost Cost => new(50.0 * Logits.Length, Logits.Bytes + Target.Bytes + Weight.Bytes + Elements.Bytes + GradLogits.Bytes);

    public void Validate()
    {
        LossCheck.Elementwise(nameof(BceWithLogitsLoss), Logits, Target, Loss, GradLogits, Elements, Weight, Normalizer);
        Check.Optional(nameof(BceWithLogitsLoss), "positive weight", PositiveWeight, new Shape(Logits.Shape.Channels));
    }

    public void Run(CpuDevice device) => device.Dispatch(new ElementLoss<Element>(
        new Element(PositiveWeight.F32), Logits, Target, Weight, Loss, Elements, GradLogits, LossCheck.Factor(Scale, Normalizer),
        PositiveWeight.IsNone ? 0 : Logits.Shape.Channels));

    public void Run(GpuDevice device) => ElementLoss.Run(
        device, new GpuElement(device.F32(PositiveWeight)), Logits, Target, Weight, Loss, Elements, GradLogits,
        LossFactor.Of(device, Scale, Normalizer), PositiveWeight.IsNone ? 0 : Logits.Shape.Channels);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Formula<TVector>(TVector x, TVector target, TVector positive, out TVector gradient) where TVector : unmanaged, ISimd<TVector>
    {
        LossMath.Logistic(x, out var p, out var q, out var logOnePlus);
        var negative = TVector.Create(1) - target;
        gradient = negative * p - positive * q;
        return positive * (LossMath.Positive(-x) + logOnePlus) + negative * (LossMath.Positive(x) + logOnePlus);
    }

    private readonly struct Element(float* positiveWeight) : IElementLoss
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector> =>
            Formula(x, target, positiveWeight == null ? target : target * TVector.Load(positiveWeight + column), out gradient);
    }

    internal readonly struct GpuElement(ArrayView<float> positiveWeight) : IElementLoss
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector> =>
            Formula(x, target, positiveWeight.Length == 0 ? target : target * TVector.Create(positiveWeight[column]), out gradient);
    }
}
