using System.Runtime.CompilerServices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Exponential and logarithm in plain float32 arithmetic, because the compiler of the ILGPU path has none that is accurate. Every
/// target computes the same formulas; they differ only where one contracts a·b + c into one rounding. A few units in the last place.
/// </summary>
internal static class GpuMath
{
    // ln 2 in nine bits, so that a small integer times it is exact, and the rest.
    private const float Ln2High = 0.693359375f, Ln2Low = -2.12194440e-4f;

    /// <summary>
    /// n = round(x·log2 e), r = x − n·ln 2 in two parts, e^x = 2^n·e^r with the series of e^r to r⁷ (|r| ≤ 0.35: short by 5e-9). Adding
    /// 1.5·2²³ rounds to an integer. 2^n is applied in two halves, so that subnormal results are right and large ones infinite.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Exp(float x)
    {
        // Comparisons hand on a not-a-number; the devices' minimum and maximum would drop it.
        x = x > 89 ? 89 : x;
        x = x < -104 ? -104 : x;
        float n = x * 1.44269504f + 12582912 - 12582912;
        float r = x - n * Ln2High - n * Ln2Low;
        float series = 1f / 720 + r * (1f / 5040);
        series = 1f / 120 + r * series;
        series = 1f / 24 + r * series;
        series = 1f / 6 + r * series;
        series = 0.5f + r * series;
        series = 1 + (r + r * r * series);
        // A not-a-number would be converted to some integer; the series carries it, whatever the power.
        int whole = (int)n, half = whole >> 1;
        return series * Power(half) * Power(whole - half);
    }

    /// <summary>
    /// ln x = n·ln 2 + ln(1+f), x = 2^n·(1+f) with 1+f in [√½, √2); ln(1+f) = 2·atanh(s), s = f/(2+f), |s| ≤ 0.172, arranged as
    /// f − (f²/2 − s·(f²/2 + R)) with R = 2s²/3 + 2s⁴/5 + 2s⁶/7 + 2s⁸/9, short by 5e-10, so that the leading term f has no error.
    /// Zero gives −∞, less than zero not-a-number.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Log(float x)
    {
        // The special cases are told by integers: OpenCL code takes a negated comparison of a not-a-number for true or false at will.
        int raw = (int)Interop.FloatAsInt(x);
        if (raw >= 0x7f800000)
            return x;
        if (raw <= 0)
            return (raw & 0x7fffffff) == 0 ? float.NegativeInfinity : float.NaN;
        // Subnormals have no leading bit to read the exponent by.
        bool small = raw < 0x00800000;
        int bits = (int)Interop.FloatAsInt(small ? x * 33554432 : x);
        int n = (bits - 0x3f3504f3) >> 23;
        float f = Interop.IntAsFloat((uint)(bits - (n << 23))) - 1;
        float s = f / (2 + f), z = s * s, half = 0.5f * f * f;
        float rest = z * (2f / 3 + z * (2f / 5 + z * (2f / 7 + z * (2f / 9))));
        float exponent = small ? n - 25 : n;
        return exponent * Ln2High - (half - (s * (half + rest) + exponent * Ln2Low) - f);
    }

    /// <summary>1 / (1 + e^−x); the exponential may be infinite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sigmoid(float x) => 1 / (1 + Exp(-x));

    /// <summary>Told by the bits, which no backend and no negation of a comparison can get wrong.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsNaN(float x) => ((int)Interop.FloatAsInt(x) & 0x7fffffff) > 0x7f800000;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Power(int n) => Interop.IntAsFloat((uint)((n + 127) << 23));
}
