using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// RetinaNet's focal loss on logits. p = σ(x), m = p(1−t) + (1−p)t = 1 − p_t, ce = binary cross entropy,
///   L = α_t m^γ ce,   α_t = αt + (1−α)(1−t), or 1 when α &lt; 0
///   ∂L/∂x = α_t m^γ ((p − t) + ce γ (1−2t) p(1−p)/m)
/// Loss = Scale/Normalizer · Σ Weight·L. Equals BCE with logits for γ = 0, α &lt; 0.
/// </summary>
/// <param name="Logits">Any shape.</param>
/// <param name="Target">In [0,1], shape of the logits.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradLogits">Optional, written.</param>
/// <param name="Elements">Optional, written: Weight·L of every element, without scale.</param>
/// <param name="Weight">Optional, shape of the logits; also the upstream gradient of the elements.</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="Alpha">Weight of positives; negative: no weighting.</param>
/// <param name="Gamma">Focusing exponent, zero or more.</param>
/// <param name="Scale">Weight of the loss; 1/length makes it a mean.</param>
internal readonly record struct SigmoidFocalLoss(
    TensorView Logits, TensorView Target, TensorView Loss, TensorView GradLogits = default, TensorView Elements = default,
    TensorView Weight = default, TensorView Normalizer = default, float Alpha = 0.25f, float Gamma = 2, float Scale = 1) : IKernel
{
    public Cost Cost => new(70.0 * Logits.Length, Logits.Bytes + Target.Bytes + Weight.Bytes + Elements.Bytes + GradLogits.Bytes);

    public void Validate()
    {
        LossCheck.Elementwise(nameof(SigmoidFocalLoss), Logits, Target, Loss, GradLogits, Elements, Weight, Normalizer);
        Check.That(Gamma >= 0, nameof(SigmoidFocalLoss), "gamma", "zero or more", Gamma);
    }

    public void Run(CpuDevice device) => device.Dispatch(new ElementLoss<Element>(
        new Element(Alpha, Gamma), Logits, Target, Weight, Loss, Elements, GradLogits, LossCheck.Factor(Scale, Normalizer), 0));

    public void Run(GpuDevice device) => ElementLoss.Run(
        device, new Element(Alpha, Gamma), Logits, Target, Weight, Loss, Elements, GradLogits, LossFactor.Of(device, Scale, Normalizer), 0);

    internal readonly struct Element(float alpha, float gamma) : IElementLoss
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector>
        {
            var one = TVector.Create(1);
            LossMath.Logistic(x, out var p, out var q, out var logOnePlus);
            var negative = one - target;
            var entropy = LossMath.Positive(x) - x * target + logOnePlus;
            // Kept off zero so that a saturated logit divides and takes logarithms safely.
            TVector tiny = TVector.Create(1.17549435e-38f), miss = p * negative + q * target;
            miss = TVector.Select(TVector.Greater(tiny, miss), tiny, miss);
            var weight = Power(miss);
            if (alpha >= 0)
                weight *= TVector.Fma(TVector.Create(2 * alpha - 1), target, TVector.Create(1 - alpha));
            var focus = TVector.Create(gamma) * (negative - target) * p * (q / miss);
            gradient = weight * TVector.Fma(entropy, focus, p * negative - q * target);
            return weight * entropy;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TVector Power<TVector>(TVector miss) where TVector : unmanaged, ISimd<TVector> => gamma switch
        {
            2 => miss * miss,
            1 => miss,
            0 => TVector.Create(1),
            _ => TVector.Exp(TVector.Create(gamma) * TVector.Log(miss)),
        };
    }
}
