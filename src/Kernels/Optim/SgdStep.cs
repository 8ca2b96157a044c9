using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>Where the learning rate enters the momentum buffer; the two differ only when the rate changes.</summary>
internal enum MomentumForm
{
    /// <summary>v ← m v + (1−dampening) d; the rate multiplies v when it is applied.</summary>
    PyTorch,

    /// <summary>v ← m v + rate·d; v is applied as it is.</summary>
    Caffe,
}

/// <summary>
/// One step of stochastic gradient descent over a flat block, d = factor·g + decay·w:
///   PyTorch:  v ← m v + (1−dampening) d (v = d on the first step);  w ← w − rate·v  (Nesterov: w − rate·(d + m v))
///   Caffe:    v ← m v + rate·d;                                     w ← w − v
/// Without a momentum buffer w ← w − rate·d. Groups with their own rate and decay are slices of the block, one run each.
/// Three reads and two writes an element.
/// </summary>
/// <param name="Value">f32 parameters, updated.</param>
/// <param name="Gradient">Same length.</param>
/// <param name="Velocity">Optional momentum buffer, updated; zero before the first step.</param>
/// <param name="LearningRate">Rate of this slice.</param>
/// <param name="Momentum">m.</param>
/// <param name="Dampening">PyTorch form only.</param>
/// <param name="WeightDecay">Decay of this slice.</param>
/// <param name="Nesterov">PyTorch form only.</param>
/// <param name="FirstStep">The buffer takes d undampened.</param>
/// <param name="Form">Momentum form.</param>
/// <param name="Guard">Optional f32[2] of <see cref="ClipFactor"/>: gradient factor, and 0 to leave everything as it is.</param>
internal readonly record struct SgdStep(
    TensorView Value, TensorView Gradient, TensorView Velocity, float LearningRate, float Momentum = 0, float Dampening = 0,
    float WeightDecay = 0, bool Nesterov = false, bool FirstStep = false, MomentumForm Form = MomentumForm.PyTorch,
    TensorView Guard = default) : IKernel
{
    public Cost Cost => new(7.0 * Value.Length, 2 * Value.Bytes + Gradient.Bytes + 2 * Velocity.Bytes);

    public void Validate()
    {
        const string operation = nameof(SgdStep);
        FlatStep.Validate(operation, Value, Gradient, Guard);
        Check.Optional(operation, "velocity", Velocity, Value.Shape);
        Check.Apart(operation, "velocity", Velocity, "value", Value);
        Check.Apart(operation, "velocity", Velocity, "gradient", Gradient);
        Check.That(!Velocity.IsNone || Momentum == 0, operation, "velocity", "a buffer when momentum is not zero", Velocity);
        Check.That(Form == MomentumForm.PyTorch || (!Nesterov && Dampening == 0), operation, "form", "PyTorch for Nesterov momentum or dampening", Form);
    }

    public void Run(CpuDevice device)
    {
        if (!FlatStep.Active(Guard, out float factor))
            return;
        if (Velocity.IsNone)
            FlatStep.Run(device, PlainOf(factor), Value, Gradient, default, default);
        else if (Form == MomentumForm.Caffe)
            FlatStep.Run(device, CaffeOf(factor), Value, Gradient, Velocity, default);
        else
            FlatStep.Run(device, PyTorchOf(factor), Value, Gradient, Velocity, default);
    }

    public void Run(GpuDevice device)
    {
        if (Velocity.IsNone)
            FlatStep.Run(device, PlainOf(1), Value, Gradient, default, default, Guard);
        else if (Form == MomentumForm.Caffe)
            FlatStep.Run(device, CaffeOf(1), Value, Gradient, Velocity, default, Guard);
        else
            FlatStep.Run(device, PyTorchOf(1), Value, Gradient, Velocity, default, Guard);
    }

    private Plain PlainOf(float factor) => new(LearningRate, WeightDecay, factor);

    private Caffe CaffeOf(float factor) => new(LearningRate, Momentum, WeightDecay, factor);

    private PyTorch PyTorchOf(float factor) =>
        new(LearningRate, FirstStep ? 0 : Momentum, FirstStep ? 1 : 1 - Dampening, WeightDecay, factor, Nesterov ? Momentum : -1);

    internal readonly struct Plain(float rate, float decay, float factor) : IFlatStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector value, TVector gradient, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector> =>
            TVector.Fma(TVector.Create(-rate), TVector.Fma(TVector.Create(factor), gradient, TVector.Create(decay) * value), value);
    }

    internal readonly struct Caffe(float rate, float momentum, float decay, float factor) : IFlatStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector value, TVector gradient, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector>
        {
            var d = TVector.Fma(TVector.Create(factor), gradient, TVector.Create(decay) * value);
            first = TVector.Fma(TVector.Create(momentum), first, TVector.Create(rate) * d);
            return value - first;
        }
    }

    /// <param name="nesterov">The momentum of the look-ahead; negative: none.</param>
    internal readonly struct PyTorch(float rate, float momentum, float fresh, float decay, float factor, float nesterov) : IFlatStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector value, TVector gradient, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector>
        {
            var d = TVector.Fma(TVector.Create(factor), gradient, TVector.Create(decay) * value);
            first = TVector.Fma(TVector.Create(momentum), first, TVector.Create(fresh) * d);
            return TVector.Fma(TVector.Create(-rate), nesterov < 0 ? first : TVector.Fma(TVector.Create(nesterov), first, d), value);
        }
    }
}
