using System.Numerics;

namespace CudaKernels.Tests;

/// <summary>Integer arithmetic and logic: what an instruction makes of the cells of its operands.</summary>
internal static class PtxIntegers
{
    /// <param name="operation">The name without its type, "mul.lo".</param>
    public static Delegate? Find(string operation, PtxType type) =>
        type.Kind == 'p' ? Logic(operation, type)
        : !type.IsInteger ? null
        : Logic(operation, type) ?? Common(operation, type) ?? (type.Kind == 's' ? Signed(operation, type) : Unsigned(operation, type));

    private static Delegate? Logic(string operation, PtxType t) => operation switch
    {
        "and" => (ulong a, ulong b) => a & b,
        "or" => (ulong a, ulong b) => a | b,
        "xor" => (ulong a, ulong b) => a ^ b,
        "not" when t.Kind == 'p' => (ulong a) => a ^ 1,
        "not" => (ulong a) => ~a,
        _ => null,
    };

    /// <summary>The low bits of these do not depend on signs.</summary>
    private static Delegate? Common(string operation, PtxType t) => operation switch
    {
        "add" => (ulong a, ulong b) => a + b,
        "sub" => (ulong a, ulong b) => a - b,
        "mul.lo" => (ulong a, ulong b) => a * b,
        "mad.lo" => (ulong a, ulong b, ulong c) => a * b + c,
        "neg" => (ulong a) => 0 - a,
        "shl" => ulong (ulong a, ulong b) => (uint)b >= t.Bits ? 0 : a << (int)b,
        "cnot" => (ulong a) => PtxType.Cell(t.Unsigned(a) == 0),
        "popc" => (ulong a) => (ulong)BitOperations.PopCount(t.Unsigned(a)),
        "clz" => (ulong a) => (ulong)(BitOperations.LeadingZeroCount(t.Unsigned(a)) - (64 - t.Bits)),
        "brev" => (ulong a) => Reverse(a) >> (64 - t.Bits),
        "bfe" => (ulong a, ulong b, ulong c) => Extract(t, a, (int)(b & 0xff), (int)(c & 0xff)),
        "bfi" => (ulong a, ulong b, ulong c, ulong d) => Insert(t, a, b, (int)(c & 0xff), (int)(d & 0xff)),
        _ => null,
    };

    // Division by zero is not defined; hardware gives all ones.
    private static Delegate? Signed(string operation, PtxType t) => operation switch
    {
        "div" => ulong (ulong a, ulong b) => t.Signed(b) switch { 0 => ulong.MaxValue, -1 => 0 - a, var divisor => (ulong)(t.Signed(a) / divisor) },
        "rem" => ulong (ulong a, ulong b) => t.Signed(b) switch { 0 => ulong.MaxValue, -1 => 0, var divisor => (ulong)(t.Signed(a) % divisor) },
        "min" => (ulong a, ulong b) => (ulong)Math.Min(t.Signed(a), t.Signed(b)),
        "max" => (ulong a, ulong b) => (ulong)Math.Max(t.Signed(a), t.Signed(b)),
        "abs" => (ulong a) => t.Signed(a) < 0 ? 0 - a : a,
        "shr" => (ulong a, ulong b) => (ulong)(t.Signed(a) >> (int)Math.Min((uint)b, 63u)),
        "mul.hi" => (ulong a, ulong b) => (ulong)(((Int128)t.Signed(a) * t.Signed(b)) >> t.Bits),
        "mad.hi" => (ulong a, ulong b, ulong c) => (ulong)(((Int128)t.Signed(a) * t.Signed(b)) >> t.Bits) + c,
        "mul.wide" => (ulong a, ulong b) => (ulong)(t.Signed(a) * t.Signed(b)),
        "mad.wide" => (ulong a, ulong b, ulong c) => (ulong)(t.Signed(a) * t.Signed(b)) + c,
        _ => null,
    };

    private static Delegate? Unsigned(string operation, PtxType t) => operation switch
    {
        "div" => ulong (ulong a, ulong b) => t.Unsigned(b) switch { 0 => ulong.MaxValue, var divisor => t.Unsigned(a) / divisor },
        "rem" => ulong (ulong a, ulong b) => t.Unsigned(b) switch { 0 => ulong.MaxValue, var divisor => t.Unsigned(a) % divisor },
        "min" => (ulong a, ulong b) => Math.Min(t.Unsigned(a), t.Unsigned(b)),
        "max" => (ulong a, ulong b) => Math.Max(t.Unsigned(a), t.Unsigned(b)),
        "shr" => ulong (ulong a, ulong b) => (uint)b >= t.Bits ? 0 : t.Unsigned(a) >> (int)b,
        "mul.hi" => (ulong a, ulong b) => (ulong)(((UInt128)t.Unsigned(a) * t.Unsigned(b)) >> t.Bits),
        "mad.hi" => (ulong a, ulong b, ulong c) => (ulong)(((UInt128)t.Unsigned(a) * t.Unsigned(b)) >> t.Bits) + c,
        "mul.wide" => (ulong a, ulong b) => t.Unsigned(a) * t.Unsigned(b),
        "mad.wide" => (ulong a, ulong b, ulong c) => t.Unsigned(a) * t.Unsigned(b) + c,
        _ => null,
    };

    private static ulong Reverse(ulong value)
    {
        ulong result = 0;
        for (int i = 0; i < 64; i++)
            result |= (value >> i & 1) << (63 - i);
        return result;
    }

    /// <summary><paramref name="length"/> bits from <paramref name="start"/> on; what lies above them is the sign's copy or zero.</summary>
    private static ulong Extract(PtxType type, ulong value, int start, int length)
    {
        ulong top = type.Kind == 's' && length > 0 ? value >> Math.Min(start + length - 1, type.Bits - 1) & 1 : 0, result = 0;
        for (int i = 0; i < type.Bits; i++)
            result |= (i < length && start + i < type.Bits ? value >> (start + i) & 1 : top) << i;
        return result;
    }

    private static ulong Insert(PtxType type, ulong bits, ulong into, int start, int length)
    {
        for (int i = 0; i < length && start + i < type.Bits; i++)
            into = into & ~(1UL << (start + i)) | (bits >> i & 1) << (start + i);
        return into;
    }
}
