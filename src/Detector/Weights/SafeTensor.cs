using System.Runtime.InteropServices;

namespace CudaKernels.Detection;

/// <summary>One named array of a <see cref="SafeTensorsFile"/>: its bytes as they stand in the file, little-endian, row-major.</summary>
internal sealed class SafeTensor(string path, string name, string type, int[] shape, ReadOnlyMemory<byte> data)
{
    public string Name { get; } = name;

    /// <summary>Element type in the format's own words: F32, BF16, I64, ...</summary>
    public string DType { get; } = type;

    public int[] Shape { get; } = shape;

    public ReadOnlyMemory<byte> Data { get; } = data;

    /// <summary>Elements.</summary>
    public int Length => Data.Length / SizeOf(DType);

    /// <summary>The elements as float32. F64 is rounded, I64 and I32 beyond 2^24 too.</summary>
    /// <exception cref="DataException">A type other than F32, F64, F16, BF16, I64, I32 or U8.</exception>
    public float[] ToFloats()
    {
        var bytes = Data.Span;
        return DType switch
        {
            "F32" => MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
            "F64" => Convert<double>(bytes, value => (float)value),
            "F16" => Convert<Half>(bytes, value => (float)value),
            "BF16" => Convert<ushort>(bytes, value => BitConverter.UInt32BitsToSingle((uint)value << 16)),
            "I64" => Convert<long>(bytes, value => value),
            "I32" => Convert<int>(bytes, value => value),
            "U8" => Convert<byte>(bytes, value => value),
            _ => throw new DataException($"{path}: tensor {SafeTensorsHeader.Quote(Name)} has type {DType}, which cannot be read as numbers; store it as F32"),
        };
    }

    /// <summary>True when a floating-point tensor holds a NaN or an infinity.</summary>
    public bool HasNonFinite() => DType is "F32" or "F64" or "F16" or "BF16" && Array.Exists(ToFloats(), value => !float.IsFinite(value));

    /// <summary>Bytes of an element; 0 for a type the format does not have.</summary>
    internal static int SizeOf(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" => 1,
        _ => 0,
    };

    private static float[] Convert<T>(ReadOnlySpan<byte> bytes, Func<T, float> one) where T : unmanaged
    {
        var from = MemoryMarshal.Cast<byte, T>(bytes);
        var to = new float[from.Length];
        for (int i = 0; i < to.Length; i++)
            to[i] = one(from[i]);
        return to;
    }
}
