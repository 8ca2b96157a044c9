using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>Logistic pieces that neither overflow nor cancel, for any finite logit.</summary>
internal static class LossMath
{
    /// <summary>
    /// e = exp(−|x|) ∈ (0,1]:  p = σ(x), q = 1 − p = σ(−x), both to full relative precision, and log(1+e), so that
    /// −ln p = max(−x,0) + log(1+e) and −ln q = max(x,0) + log(1+e).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Logistic<TVector>(TVector x, out TVector p, out TVector q, out TVector logOnePlus)
        where TVector : unmanaged, ISimd<TVector>
    {
        var one = TVector.Create(1);
        var e = TVector.Exp(-TVector.Abs(x));
        var larger = one / (one + e);
        var smaller = e * larger;
        var negative = TVector.Greater(TVector.Zero, x);
        p = TVector.Select(negative, smaller, larger);
        q = TVector.Select(negative, larger, smaller);
        logOnePlus = LogOnePlus(e);
    }

    /// <summary>
    /// log(1+e) for e ∈ [0,1] with a small relative error even where e vanishes: 2·atanh(t), t = e/(2+e) ≤ 1/3, whose odd
    /// series after t¹³ is short by less than 2e-8.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LogOnePlus<TVector>(TVector e) where TVector : unmanaged, ISimd<TVector>
    {
        var t = e / (e + TVector.Create(2));
        var u = t * t;
        var series = TVector.Create(2f / 13);
        series = TVector.Fma(series, u, TVector.Create(2f / 11));
        series = TVector.Fma(series, u, TVector.Create(2f / 9));
        series = TVector.Fma(series, u, TVector.Create(2f / 7));
        series = TVector.Fma(series, u, TVector.Create(2f / 5));
        series = TVector.Fma(series, u, TVector.Create(2f / 3));
        series = TVector.Fma(series, u, TVector.Create(2f));
        return t * series;
    }
}
