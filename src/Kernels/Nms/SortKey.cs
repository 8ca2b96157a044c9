namespace CudaKernels.Kernels;

/// <summary>
/// A float and an index packed into 64 bits whose unsigned order is: greater float first, equal floats by smaller index.
/// −0 equals +0; not-a-number comes last. Sorting keys allocates nothing and has one result whatever the algorithm.
/// </summary>
internal static class SortKey
{
    public static ulong Descending(float value, int index)
    {
        // Adding zero turns −0 into +0.
        uint bits = BitConverter.SingleToUInt32Bits(value + 0f);
        uint ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
        uint key = float.IsNaN(value) ? uint.MaxValue : ~ascending;
        return (ulong)key << 32 | (uint)index;
    }

    public static int Index(ulong key) => (int)(uint)key;

    /// <summary>The float of a key; not-a-number as it went in.</summary>
    public static float Value(ulong key)
    {
        uint ascending = ~(uint)(key >> 32);
        return BitConverter.UInt32BitsToSingle((ascending & 0x80000000) != 0 ? ascending & 0x7FFFFFFF : ~ascending);
    }
}
