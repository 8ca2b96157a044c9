using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Penalty-reduced focal loss of CornerNet, CenterNet and TTFNet, from logits. p = σ(x) clamped to [1e-4, 1−1e-4], target Y:
///   Y = 1:  L = −(1−p)² ln p              ∂L/∂x = (1−p)² (2p ln p − (1−p))
///   Y &lt; 1:  L = −(1−Y)⁴ p² ln(1−p)        ∂L/∂x = (1−Y)⁴ p² (p − 2(1−p) ln(1−p))
/// The gradient is 0 where the clamp acts. Loss = Scale/Normalizer · ΣL; the normalizer is what <see cref="HeatmapPositives"/>
/// counted (over all ranks, when there are several). One pass: two reads and one write an element.
/// Both cases are one formula in z = x (Y &lt; 1) or z = −x (Y = 1), a = σ(z):  L = w a² softplus(z),  |∂L/∂z| likewise.
/// </summary>
/// <param name="Logits">Any shape.</param>
/// <param name="Target">Heatmap in [0,1], shape of the logits; a peak is exactly 1.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradLogits">Optional, written.</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="Scale">Weight of the loss.</param>
internal readonly record struct HeatmapFocalLoss(
    TensorView Logits, TensorView Target, TensorView Loss, TensorView GradLogits = default, TensorView Normalizer = default, float Scale = 1) : IKernel
{
    public Cost Cost => new(60.0 * Logits.Length, Logits.Bytes + Target.Bytes + GradLogits.Bytes);

    public void Validate() =>
        LossCheck.Elementwise(nameof(HeatmapFocalLoss), Logits, Target, Loss, GradLogits, normalizer: Normalizer);

    public void Run(CpuDevice device) => device.Dispatch(new ElementLoss<Element>(
        default, Logits, Target, default, Loss, default, GradLogits, LossCheck.Factor(Scale, Normalizer), 0));

    public void Run(GpuDevice device) => ElementLoss.Run(
        device, new Element(), Logits, Target, default, Loss, default, GradLogits, LossFactor.Of(device, Scale, Normalizer), 0);

    internal readonly struct Element : IElementLoss
    {
        // ln((1−1e-4)/1e-4): clamping the logit here clamps the probability.
        private const float Limit = 9.2102404f;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector>
        {
            var one = TVector.Create(1);
            var limit = TVector.Create(Limit);
            var peak = TVector.Equal(target, one);
            var clamped = TVector.Greater(TVector.Abs(x), limit);
            var z = TVector.Select(peak, -x, x);
            z = TVector.Select(TVector.Greater(z, limit), limit, z);
            z = TVector.Select(TVector.Greater(-limit, z), -limit, z);
            LossMath.Logistic(z, out var a, out var rest, out var logOnePlus);
            var softplus = LossMath.Positive(z) + logOnePlus;
            var away = one - target;
            away *= away;
            var weight = TVector.Select(peak, one, away * away) * a * a;
            var slope = weight * TVector.Fma(rest + rest, softplus, a);
            gradient = TVector.Select(clamped, TVector.Zero, TVector.Select(peak, -slope, slope));
            return weight * softplus;
        }
    }
}
