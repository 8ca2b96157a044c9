using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// A small constant matrix, applied to vectors of channels: To values from From values that lie <c>step</c> apart. Squares of values are
/// mapped along columns, then along rows (<see cref="WinogradMaps.Square"/>).
/// </summary>
internal unsafe interface IWinogradMap
{
    static abstract int From { get; }

    static abstract int To { get; }

    static abstract void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>
/// The minimal filtering F(4x4, 3x3) of S. Winograd as A. Lavin and S. Gray arranged it (2016): a 4x4 tile of y = x * w is
///   Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A
/// with x a 6x6 piece of the image: 36 products where the definition takes 144. Interpolation points 0, ±1, ±2, ∞. Errors are some ten
/// times those of the direct sum: a few 1e-6 of the largest value. Transposed, the same matrices give the gradient of w.
/// </summary>
internal static unsafe class WinogradMaps
{
    /// <summary>Side of an output tile, of the kernel, of an input tile; points of the transformed domain.</summary>
    public const int Output = 4, Kernel = 3, Tile = Output + Kernel - 1, Points = Tile * Tile;

    /// <summary>M v Mᵀ for a square of From x From vectors; the To x To of the result lie <paramref name="toStep"/> vectors apart.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Square<TMap, TVector>(TVector* from, TVector* to, int toStep) where TMap : struct, IWinogradMap where TVector : unmanaged, ISimd<TVector>
    {
        TVector* half = stackalloc TVector[Points];
        for (int x = 0; x < TMap.From; x++)
            TMap.Apply(from + x, TMap.From, half + x, TMap.From);
        for (int y = 0; y < TMap.To; y++)
            TMap.Apply(half + y * TMap.From, 1, to + y * TMap.To * toStep, toStep);
    }

    /// <summary>Bᵀ: a piece of the image.</summary>
    public readonly struct Image : IWinogradMap
    {
        public static int From => Tile;

        public static int To => Tile;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>
        {
            TVector x1 = from[fromStep], x2 = from[2 * fromStep], x3 = from[3 * fromStep], x4 = from[4 * fromStep];
            TVector two = TVector.Create(2), minusFour = TVector.Create(-4), four = TVector.Create(4), minusFive = TVector.Create(-5);
            to[0] = TVector.Fma(four, from[0], TVector.Fma(minusFive, x2, x4));
            TVector even = TVector.Fma(minusFour, x2, x4), odd = TVector.Fma(minusFour, x1, x3);
            to[toStep] = even + odd;
            to[2 * toStep] = even - odd;
            even = x4 - x2;
            odd = two * (x3 - x1);
            to[3 * toStep] = even + odd;
            to[4 * toStep] = even - odd;
            to[5 * toStep] = TVector.Fma(four, x1, TVector.Fma(minusFive, x3, from[5 * fromStep]));
        }
    }

    /// <summary>G: a kernel.</summary>
    public readonly struct Filter : IWinogradMap
    {
        public static int From => Kernel;

        public static int To => Tile;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>
        {
            TVector w0 = from[0], w1 = from[fromStep], w2 = from[2 * fromStep], sixth = TVector.Create(1f / 6);
            to[0] = TVector.Create(1f / 4) * w0;
            TVector even = -sixth * (w0 + w2), odd = sixth * w1;
            to[toStep] = even - odd;
            to[2 * toStep] = even + odd;
            even = TVector.Fma(TVector.Create(1f / 24), w0, sixth * w2);
            odd = TVector.Create(1f / 12) * w1;
            to[3 * toStep] = even + odd;
            to[4 * toStep] = even - odd;
            to[5 * toStep] = w2;
        }
    }

    /// <summary>Aᵀ: the sums over channels become outputs.</summary>
    public readonly struct Sum : IWinogradMap
    {
        public static int From => Tile;

        public static int To => Output;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>
        {
            TVector m1 = from[fromStep], m2 = from[2 * fromStep], m3 = from[3 * fromStep], m4 = from[4 * fromStep];
            TVector even1 = m1 + m2, odd1 = m1 - m2, even2 = m3 + m4, odd2 = m3 - m4;
            to[0] = from[0] + even1 + even2;
            to[toStep] = TVector.Fma(TVector.Create(2), odd2, odd1);
            to[2 * toStep] = TVector.Fma(TVector.Create(4), even2, even1);
            to[3 * toStep] = TVector.Fma(TVector.Create(8), odd2, odd1) + from[5 * fromStep];
        }
    }

    /// <summary>A: the transpose of <see cref="Sum"/>, for gradients of outputs.</summary>
    public readonly struct SumGradient : IWinogradMap
    {
        public static int From => Output;

        public static int To => Tile;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>
        {
            TVector y0 = from[0], y1 = from[fromStep], y2 = from[2 * fromStep], y3 = from[3 * fromStep];
            to[0] = y0;
            TVector even = y0 + y2, odd = y1 + y3;
            to[toStep] = even + odd;
            to[2 * toStep] = even - odd;
            even = TVector.Fma(TVector.Create(4), y2, y0);
            odd = TVector.Fma(TVector.Create(8), y3, TVector.Create(2) * y1);
            to[3 * toStep] = even + odd;
            to[4 * toStep] = even - odd;
            to[5 * toStep] = y3;
        }
    }

    /// <summary>Gᵀ: the transpose of <see cref="Filter"/>; gives gradients of kernels.</summary>
    public readonly struct FilterGradient : IWinogradMap
    {
        public static int From => Tile;

        public static int To => Kernel;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Apply<TVector>(TVector* from, int fromStep, TVector* to, int toStep) where TVector : unmanaged, ISimd<TVector>
        {
            TVector u1 = from[fromStep], u2 = from[2 * fromStep], u3 = from[3 * fromStep], u4 = from[4 * fromStep], sixth = TVector.Create(1f / 6);
            TVector inner = sixth * (u1 + u2), outer = u3 + u4;
            to[0] = TVector.Fma(TVector.Create(1f / 4), from[0], TVector.Fma(TVector.Create(1f / 24), outer, -inner));
            to[toStep] = TVector.Fma(sixth, u2 - u1, TVector.Create(1f / 12) * (u3 - u4));
            to[2 * toStep] = TVector.Fma(sixth, outer, from[5 * fromStep] - inner);
        }
    }
}
