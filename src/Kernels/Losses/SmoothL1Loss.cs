using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Smooth L1 of d = x − t:  0.5 d²/β where |d| &lt; β, else |d| − β/2;  derivative clamp(d/β, ±1). β = 0 is plain L1 with
/// derivative sign(d), 0 at d = 0. Loss = Scale/Normalizer · Σ Weight·L. The gradient of the target is −GradX.
/// </summary>
/// <param name="X">Any shape.</param>
/// <param name="Target">Shape of x.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradX">Optional, written.</param>
/// <param name="Elements">Optional, written: Weight·L of every element, without scale.</param>
/// <param name="Weight">Optional, shape of x; also the upstream gradient of the elements.</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="Beta">Where the parabola meets the line, zero or more.</param>
/// <param name="Scale">Weight of the loss; 1/length makes it a mean.</param>
internal readonly record struct SmoothL1Loss(
    TensorView X, TensorView Target, TensorView Loss, TensorView GradX = default, TensorView Elements = default,
    TensorView Weight = default, TensorView Normalizer = default, float Beta = 1, float Scale = 1) : IKernel
{
    public Cost Cost => new(10.0 * X.Length, X.Bytes + Target.Bytes + Weight.Bytes + Elements.Bytes + GradX.Bytes);

    public void Validate()
    {
        LossCheck.Elementwise(nameof(SmoothL1Loss), X, Target, Loss, GradX, Elements, Weight, Normalizer);
        Check.That(Beta >= 0, nameof(SmoothL1Loss), "beta", "zero or more", Beta);
    }

    public void Run(CpuDevice device)
    {
        float factor = LossCheck.Factor(Scale, Normalizer);
        if (Beta == 0)
            device.Dispatch(new ElementLoss<Absolute>(default, X, Target, Weight, Loss, Elements, GradX, factor, 0));
        else
            device.Dispatch(new ElementLoss<Smooth>(new Smooth(Beta), X, Target, Weight, Loss, Elements, GradX, factor, 0));
    }

    public void Run(GpuDevice device)
    {
        var factor = LossFactor.Of(device, Scale, Normalizer);
        if (Beta == 0)
            ElementLoss.Run(device, new Absolute(), X, Target, Weight, Loss, Elements, GradX, factor, 0);
        else
            ElementLoss.Run(device, new Smooth(Beta), X, Target, Weight, Loss, Elements, GradX, factor, 0);
    }

    internal readonly struct Absolute : IElementLoss
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector>
        {
            var d = x - target;
            var one = TVector.Create(1);
            gradient = TVector.And(TVector.Greater(d, TVector.Zero), one) - TVector.And(TVector.Greater(TVector.Zero, d), one);
            return TVector.Abs(d);
        }
    }

    internal readonly struct Smooth(float beta) : IElementLoss
    {
        private readonly float inverse = 1 / beta;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient)
            where TVector : unmanaged, ISimd<TVector>
        {
            var d = x - target;
            var size = TVector.Abs(d);
            var half = TVector.Create(0.5f);
            var slope = d * TVector.Create(inverse);
            var one = TVector.Create(1);
            gradient = TVector.Max(TVector.Min(slope, one), -one);
            return TVector.Select(TVector.Greater(TVector.Create(beta), size), half * d * slope, size - TVector.Create(beta / 2));
        }
    }
}
