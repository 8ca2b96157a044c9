using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>Exponential moving average over a flat block: average ← decay·average + (1−decay)·value.</summary>
internal readonly record struct EmaUpdate(TensorView Average, TensorView Value, double Decay) : IKernel
{
    public Cost Cost => new(3.0 * Average.Length, 2 * Average.Bytes + Value.Bytes);

    public void Validate()
    {
        FlatStep.Validate(nameof(EmaUpdate), Average, Value, default);
        Check.That(Decay is >= 0 and <= 1, nameof(EmaUpdate), "decay", "a number in [0,1]", Decay);
    }

    public void Run(CpuDevice device) => FlatStep.Run(device, new Element((float)Decay, (float)(1 - Decay)), Average, Value, default, default);

    public void Run(GpuDevice device) => FlatStep.Run(device, new Element((float)Decay, (float)(1 - Decay)), Average, Value, default, default, default);

    internal readonly struct Element(float keep, float fresh) : IFlatStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Invoke<TVector>(TVector average, TVector value, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector> =>
            TVector.Fma(TVector.Create(keep), average, TVector.Create(fresh) * value);
    }
}
