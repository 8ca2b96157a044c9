using System.Globalization;
using System.Runtime.CompilerServices;

namespace CudaKernels.Tests;

/// <summary>
/// A type of PTX, "s32": its kind (u, s, b, f, or p for predicates) and bits. A register is a cell of 64 bits, whatever its type: what
/// lies above the bits of a value means nothing, so whoever reads a cell reads it as a type.
/// </summary>
internal readonly record struct PtxType(char Kind, int Bits)
{
    public int Bytes => Bits / 8;

    public bool IsInteger => Kind is 'u' or 's' or 'b';

    public static bool TryParse(string text, out PtxType type)
    {
        type = text == "pred" ? new('p', 1) : default;
        if (text.Length is 2 or 3 && "usbf".Contains(text[0]) && int.TryParse(text.AsSpan(1), CultureInfo.InvariantCulture, out int bits)
            && bits is 8 or 16 or 32 or 64 && (text[0] != 'f' || bits >= 32))
            type = new(text[0], bits);
        return type.Bits > 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Unsigned(ulong cell) => cell & (ulong.MaxValue >> (64 - Bits));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Signed(ulong cell) => (long)(cell << (64 - Bits)) >> (64 - Bits);

    public static float Single(ulong cell) => BitConverter.UInt32BitsToSingle((uint)cell);

    public static double Double(ulong cell) => BitConverter.UInt64BitsToDouble(cell);

    /// <summary>The result of arithmetic: every not-a-number is the one that hardware writes.</summary>
    public static ulong Cell(float value) => float.IsNaN(value) ? 0x7fffffff : BitConverter.SingleToUInt32Bits(value);

    public static ulong Cell(double value) => double.IsNaN(value) ? 0x7fffffffffffffff : BitConverter.DoubleToUInt64Bits(value);

    public static ulong Cell(bool value) => value ? 1UL : 0;
}
