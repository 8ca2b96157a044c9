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
        // One division serves 1/(1+e) and the e/(2+e) of the logarithm.
        TVector above = one + e, next = above + one, inverse = one / (above * next);
        var larger = next * inverse;
        var smaller = e * larger;
        var negative = TVector.Greater(TVector.Zero, x);
        p = TVector.Select(negative, smaller, larger);
        q = TVector.Select(negative, larger, smaller);
        logOnePlus = LogOnePlus(e * (above * inverse));
    }

    /// <summary>max(x, 0); not-a-number gives 0, so it must reach the result by another term.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Positive<TVector>(TVector x) where TVector : unmanaged, ISimd<TVector> =>
        TVector.And(TVector.Greater(x, TVector.Zero), x);

    /// <summary>
    /// log(1+e) for e ∈ [0,1] with a small relative error even where e vanishes: 2·atanh(t), t = e/(2+e) ≤ 1/3, whose odd
    /// series after t¹³ is short by less than 2e-8.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LogOnePlus<TVector>(TVector t) where TVector : unmanaged, ISimd<TVector>
    {
        var u = t * t;
        // A tree: the length of the chain is what costs.
        var square = u * u;
        var low = TVector.Fma(
            TVector.Fma(TVector.Create(2f / 7), u, TVector.Create(2f / 5)), square, TVector.Fma(TVector.Create(2f / 3), u, TVector.Create(2f)));
        var high = TVector.Fma(TVector.Create(2f / 13), square, TVector.Fma(TVector.Create(2f / 11), u, TVector.Create(2f / 9)));
        return t * TVector.Fma(high, square * square, low);
    }
}
