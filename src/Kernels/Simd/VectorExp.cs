using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaKernels.Kernels.Simd;

/// <summary>
/// e^x in float32 arithmetic throughout (the framework's widens to double), about one unit in the last place:
///   n = round(x·log2 e), r = x − n·ln 2 in two parts, e^x = 2^n·e^r with the series of e^r to r⁷ (|r| ≤ 0.35: short by 5e-9), summed as
///   a tree, because the length of the chain is what costs
/// Adding 1.5·2²³ rounds to an integer and leaves it in the low bits, which become the exponent of 2^(n−1); the missing
/// factor two is in the coefficients. Results below 2^−125 are zero or right, above the largest float infinite. The bounds
/// stand first in the native minimum and maximum, which then hand on a not-a-number.
/// </summary>
internal static class VectorExp
{
    private const float Lowest = -87.3f, Highest = 89, Log2E = 1.44269504f, Round = 12582912;

    // ln 2 in nine bits, so that n times it is exact, and the rest.
    private const float Ln2High = 0.693359375f, Ln2Low = -2.12194440e-4f;
    private const int HalfExponent = 126 << 23;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Exp(Vector128<float> x)
    {
        x = Vector128.MaxNative(Vector128.Create(Lowest), Vector128.MinNative(Vector128.Create(Highest), x));
        var shifted = Vector128.MultiplyAddEstimate(x, Vector128.Create(Log2E), Vector128.Create(Round));
        var n = shifted - Vector128.Create(Round);
        var r = Vector128.MultiplyAddEstimate(n, Vector128.Create(-Ln2High), x);
        r = Vector128.MultiplyAddEstimate(n, Vector128.Create(-Ln2Low), r);
        var square = r * r;
        var low = Vector128.MultiplyAddEstimate(Vector128.MultiplyAddEstimate(Vector128.Create(2f / 6), r, Vector128.Create(1f)), square, Vector128.MultiplyAddEstimate(Vector128.Create(2f), r, Vector128.Create(2f)));
        var high = Vector128.MultiplyAddEstimate(Vector128.MultiplyAddEstimate(Vector128.Create(2f / 5040), r, Vector128.Create(2f / 720)), square, Vector128.MultiplyAddEstimate(Vector128.Create(2f / 120), r, Vector128.Create(2f / 24)));
        var e = Vector128.MultiplyAddEstimate(high, square * square, low);
        return e * (Vector128.ShiftLeft(shifted.AsInt32(), 23) + Vector128.Create(HalfExponent)).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        x = Vector256.MaxNative(Vector256.Create(Lowest), Vector256.MinNative(Vector256.Create(Highest), x));
        var shifted = Vector256.MultiplyAddEstimate(x, Vector256.Create(Log2E), Vector256.Create(Round));
        var n = shifted - Vector256.Create(Round);
        var r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-Ln2High), x);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-Ln2Low), r);
        var square = r * r;
        var low = Vector256.MultiplyAddEstimate(Vector256.MultiplyAddEstimate(Vector256.Create(2f / 6), r, Vector256.Create(1f)), square, Vector256.MultiplyAddEstimate(Vector256.Create(2f), r, Vector256.Create(2f)));
        var high = Vector256.MultiplyAddEstimate(Vector256.MultiplyAddEstimate(Vector256.Create(2f / 5040), r, Vector256.Create(2f / 720)), square, Vector256.MultiplyAddEstimate(Vector256.Create(2f / 120), r, Vector256.Create(2f / 24)));
        var e = Vector256.MultiplyAddEstimate(high, square * square, low);
        return e * (Vector256.ShiftLeft(shifted.AsInt32(), 23) + Vector256.Create(HalfExponent)).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        x = Vector512.MaxNative(Vector512.Create(Lowest), Vector512.MinNative(Vector512.Create(Highest), x));
        var shifted = Vector512.MultiplyAddEstimate(x, Vector512.Create(Log2E), Vector512.Create(Round));
        var n = shifted - Vector512.Create(Round);
        var r = Vector512.MultiplyAddEstimate(n, Vector512.Create(-Ln2High), x);
        r = Vector512.MultiplyAddEstimate(n, Vector512.Create(-Ln2Low), r);
        var square = r * r;
        var low = Vector512.MultiplyAddEstimate(Vector512.MultiplyAddEstimate(Vector512.Create(2f / 6), r, Vector512.Create(1f)), square, Vector512.MultiplyAddEstimate(Vector512.Create(2f), r, Vector512.Create(2f)));
        var high = Vector512.MultiplyAddEstimate(Vector512.MultiplyAddEstimate(Vector512.Create(2f / 5040), r, Vector512.Create(2f / 720)), square, Vector512.MultiplyAddEstimate(Vector512.Create(2f / 120), r, Vector512.Create(2f / 24)));
        var e = Vector512.MultiplyAddEstimate(high, square * square, low);
        return e * (Vector512.ShiftLeft(shifted.AsInt32(), 23) + Vector512.Create(HalfExponent)).AsSingle();
    }
}
