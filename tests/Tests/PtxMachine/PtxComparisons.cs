namespace CudaKernels.Tests;

/// <summary>Comparisons and selections: setp, set, testp, selp, slct.</summary>
internal static class PtxComparisons
{
    /// <param name="name">The dotted parts of the instruction, "setp lt and f32".</param>
    public static Delegate? Find(string[] name)
    {
        if (!PtxType.TryParse(name[^1], out var type))
            return null;
        string[] modifiers = [.. name[1..^1].Where(m => m != "ftz")];
        bool flush = name.Contains("ftz");
        return (name[0], modifiers) switch
        {
            ("setp", [var compare]) => Compare(compare, type, flush),
            ("setp", [var compare, var combine]) => Combine(Compare(compare, type, flush), combine),
            ("set", [var compare, var result]) => Widen(Compare(compare, type, flush), result),
            ("testp", [var property]) when type.Kind == 'f' => Property(property, type),
            ("selp", []) => (ulong a, ulong b, ulong p) => p != 0 ? a : b,
            ("slct", [_]) when type is { Kind: 's', Bits: 32 } => (ulong a, ulong b, ulong c) => (int)c >= 0 ? a : b,
            ("slct", [_]) when type is { Kind: 'f', Bits: 32 } => (ulong a, ulong b, ulong c) => Read(c, type, flush) >= 0 ? a : b,
            _ => null,
        };
    }

    private static Func<ulong, ulong, ulong>? Compare(string compare, PtxType t, bool flush)
    {
        return t.Kind switch
        {
            'f' => Floats(),
            's' => Signed(),
            'u' or 'b' => Unsigned(),
            _ => null,
        };

        // False with a not-a-number, but for those with a "u".
        Func<ulong, ulong, ulong>? Floats()
        {
            return compare switch
            {
                "eq" => (a, b) => PtxType.Cell(X(a) == X(b)),
                "ne" => (a, b) => PtxType.Cell(X(a) < X(b) || X(a) > X(b)),
                "lt" => (a, b) => PtxType.Cell(X(a) < X(b)),
                "le" => (a, b) => PtxType.Cell(X(a) <= X(b)),
                "gt" => (a, b) => PtxType.Cell(X(a) > X(b)),
                "ge" => (a, b) => PtxType.Cell(X(a) >= X(b)),
                "equ" => (a, b) => PtxType.Cell(!(X(a) < X(b) || X(a) > X(b))),
                "neu" => (a, b) => PtxType.Cell(X(a) != X(b)),
                "ltu" => (a, b) => PtxType.Cell(!(X(a) >= X(b))),
                "leu" => (a, b) => PtxType.Cell(!(X(a) > X(b))),
                "gtu" => (a, b) => PtxType.Cell(!(X(a) <= X(b))),
                "geu" => (a, b) => PtxType.Cell(!(X(a) < X(b))),
                "num" => (a, b) => PtxType.Cell(!double.IsNaN(X(a)) && !double.IsNaN(X(b))),
                "nan" => (a, b) => PtxType.Cell(double.IsNaN(X(a)) || double.IsNaN(X(b))),
                _ => null,
            };

            double X(ulong cell) => Read(cell, t, flush);
        }

        Func<ulong, ulong, ulong>? Signed() => compare switch
        {
            "eq" => (a, b) => PtxType.Cell(t.Signed(a) == t.Signed(b)),
            "ne" => (a, b) => PtxType.Cell(t.Signed(a) != t.Signed(b)),
            "lt" => (a, b) => PtxType.Cell(t.Signed(a) < t.Signed(b)),
            "le" => (a, b) => PtxType.Cell(t.Signed(a) <= t.Signed(b)),
            "gt" => (a, b) => PtxType.Cell(t.Signed(a) > t.Signed(b)),
            "ge" => (a, b) => PtxType.Cell(t.Signed(a) >= t.Signed(b)),
            _ => null,
        };

        Func<ulong, ulong, ulong>? Unsigned() => compare switch
        {
            "eq" => (a, b) => PtxType.Cell(t.Unsigned(a) == t.Unsigned(b)),
            "ne" => (a, b) => PtxType.Cell(t.Unsigned(a) != t.Unsigned(b)),
            "lt" or "lo" when t.Kind == 'u' => (a, b) => PtxType.Cell(t.Unsigned(a) < t.Unsigned(b)),
            "le" or "ls" when t.Kind == 'u' => (a, b) => PtxType.Cell(t.Unsigned(a) <= t.Unsigned(b)),
            "gt" or "hi" when t.Kind == 'u' => (a, b) => PtxType.Cell(t.Unsigned(a) > t.Unsigned(b)),
            "ge" or "hs" when t.Kind == 'u' => (a, b) => PtxType.Cell(t.Unsigned(a) >= t.Unsigned(b)),
            _ => null,
        };
    }

    /// <summary>A single is exact as a double.</summary>
    private static double Read(ulong cell, PtxType type, bool flush) =>
        type.Bits == 64 ? PtxType.Double(cell) : flush ? PtxFloats.Flush(PtxType.Single(cell)) : PtxType.Single(cell);

    private static Delegate? Combine(Func<ulong, ulong, ulong>? compare, string operation) => (compare, operation) switch
    {
        (not null, "and") => (ulong a, ulong b, ulong c) => compare(a, b) & c,
        (not null, "or") => (ulong a, ulong b, ulong c) => compare(a, b) | c,
        (not null, "xor") => (ulong a, ulong b, ulong c) => compare(a, b) ^ c,
        _ => null,
    };

    /// <summary>set writes all ones, or 1.0.</summary>
    private static Delegate? Widen(Func<ulong, ulong, ulong>? compare, string result) => (compare, result) switch
    {
        (not null, "u32" or "s32") => (ulong a, ulong b) => compare(a, b) != 0 ? uint.MaxValue : 0UL,
        (not null, "f32") => (ulong a, ulong b) => PtxType.Cell(compare(a, b) != 0 ? 1f : 0f),
        _ => null,
    };

    private static Delegate? Property(string property, PtxType t) => property switch
    {
        "finite" => (ulong a) => PtxType.Cell(double.IsFinite(Read(a, t, false))),
        "infinite" => (ulong a) => PtxType.Cell(double.IsInfinity(Read(a, t, false))),
        "number" => (ulong a) => PtxType.Cell(!double.IsNaN(Read(a, t, false))),
        "notanumber" => (ulong a) => PtxType.Cell(double.IsNaN(Read(a, t, false))),
        _ => null,
    };
}
