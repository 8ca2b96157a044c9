namespace CudaKernels.Tests;

/// <summary>cvt in all the forms that are met: between integers, floats, and the storage types of tensor cores.</summary>
internal static class PtxConversions
{
    /// <param name="name">The dotted parts of the instruction, "cvt rzi s32 f32".</param>
    public static Delegate? Find(string[] name)
    {
        if (name[0] != "cvt" || name.Length < 3)
            return null;
        string[] modifiers = [.. name[1..^2].Where(m => m is not ("ftz" or "sat"))];
        bool flush = name.Contains("ftz"), saturate = name.Contains("sat");
        if (modifiers.Length > 1)
            return null;
        string rounding = modifiers.FirstOrDefault("");
        if (!flush && !saturate && Storage(rounding, name[^2], name[^1]) is { } storage)
            return storage;
        if (!PtxType.TryParse(name[^2], out var to) || !PtxType.TryParse(name[^1], out var from))
            return null;
        return (to.Kind, from.Kind) switch
        {
            ('f', 'f') => FloatToFloat(rounding, to, from, flush, saturate),
            ('f', _) => rounding == "rn" && !flush && !saturate ? IntegerToFloat(to, from) : null,
            (_, 'f') => saturate ? null : FloatToInteger(rounding, to, from, flush),
            _ => rounding == "" && !flush && !saturate ? IntegerToInteger(to, from) : null,
        };
    }

    /// <summary>Into a wider register the result goes with its sign.</summary>
    private static Delegate IntegerToInteger(PtxType to, PtxType from) => (to.Kind == 's', from.Kind == 's') switch
    {
        (true, true) => (ulong a) => (ulong)to.Signed((ulong)from.Signed(a)),
        (true, false) => (ulong a) => (ulong)to.Signed(from.Unsigned(a)),
        (false, true) => (ulong a) => to.Unsigned((ulong)from.Signed(a)),
        (false, false) => (ulong a) => to.Unsigned(from.Unsigned(a)),
    };

    private static Delegate IntegerToFloat(PtxType to, PtxType from) => (to.Bits, from.Kind == 's') switch
    {
        (32, true) => (ulong a) => PtxType.Cell((float)from.Signed(a)),
        (32, false) => (ulong a) => PtxType.Cell(ToSingle(from.Unsigned(a))),
        (_, true) => (ulong a) => PtxType.Cell((double)from.Signed(a)),
        (_, false) => (ulong a) => PtxType.Cell(ToDouble(from.Unsigned(a))),
    };

    // Halved, a number has room for its sign; the bit that falls off stays visible to the rounding.
    private static float ToSingle(ulong value) => value <= long.MaxValue ? (long)value : 2 * (float)(long)(value >> 1 | value & 1);

    private static double ToDouble(ulong value) => value <= long.MaxValue ? (long)value : 2 * (double)(long)(value >> 1 | value & 1);

    /// <summary>Too large becomes the largest, not-a-number zero, of 64 bits or from a double the highest bit alone.</summary>
    private static Delegate? FloatToInteger(string rounding, PtxType to, PtxType from, bool flush)
    {
        if (Rounding(rounding) is not { } round)
            return null;
        ulong ofNaN = from.Bits == 64 || to.Bits == 64 ? 1UL << (to.Bits - 1) : 0;
        double low = to.Kind == 's' ? -Math.ScaleB(1, to.Bits - 1) : 0, high = Math.ScaleB(1, to.Kind == 's' ? to.Bits - 1 : to.Bits);
        ulong least = to.Kind == 's' ? 1UL << (to.Bits - 1) : 0, most = (to.Kind == 's' ? ulong.MaxValue >> 1 : ulong.MaxValue) >> (64 - to.Bits);
        return (ulong a) => round(Read(a, from, flush)) switch
        {
            double.NaN => ofNaN,
            var x when x < low => least,
            var x when x >= high => most,
            var x => to.Kind == 's' ? (ulong)(long)x : (ulong)x,
        };
    }

    private static Delegate? FloatToFloat(string rounding, PtxType to, PtxType from, bool flush, bool saturate)
    {
        Func<double, double>? round = (to.Bits, from.Bits, rounding) switch
        {
            (64, 32, "") or (32, 64, "rn") => x => x,
            var (t, f, r) when t == f => r == "" ? x => x : Rounding(r),
            _ => null,
        };
        if (round is null || to.Bits == 64 && saturate)
            return null;
        return (to.Bits, saturate) switch
        {
            (64, _) => (ulong a) => PtxType.Cell(round(Read(a, from, flush))),
            (_, true) => (ulong a) => PtxType.Cell(PtxFloats.Saturate((float)round(Read(a, from, flush)))),
            (_, false) when flush => (ulong a) => PtxType.Cell(PtxFloats.Flush((float)round(Read(a, from, flush)))),
            _ => (ulong a) => PtxType.Cell((float)round(Read(a, from, flush))),
        };
    }

    /// <summary>A single is exact as a double.</summary>
    private static double Read(ulong cell, PtxType type, bool flush) =>
        type.Bits == 64 ? PtxType.Double(cell) : flush ? PtxFloats.Flush(PtxType.Single(cell)) : PtxType.Single(cell);

    private static Func<double, double>? Rounding(string name) => name switch
    {
        "rni" => x => Math.Round(x, MidpointRounding.ToEven),
        "rzi" => Math.Truncate,
        "rmi" => Math.Floor,
        "rpi" => Math.Ceiling,
        _ => null,
    };

    private static Delegate? Storage(string rounding, string to, string from) => (rounding, to, from) switch
    {
        ("rna", "tf32", "f32") => (ulong a) => RoundToTf32((uint)a),
        ("rn", "bf16", "f32") => (ulong a) => RoundToBf16((uint)a),
        ("rn", "bf16x2", "f32") => (ulong high, ulong low) => RoundToBf16((uint)high) << 16 | RoundToBf16((uint)low),
        ("", "f32", "bf16") => (ulong a) => (a & 0xffff) << 16,
        _ => null,
    };

    /// <summary>Ten bits of fraction, ties away from zero; the bits below are zero.</summary>
    private static ulong RoundToTf32(uint bits) => float.IsNaN(PtxType.Single(bits)) ? 0x7fffffff : bits + 0x1000 & ~0x1fffu;

    /// <summary>Seven bits of fraction, ties to even.</summary>
    private static ulong RoundToBf16(uint bits) => float.IsNaN(PtxType.Single(bits)) ? 0x7fff : bits + 0x7fff + (bits >> 16 & 1) >> 16;
}
