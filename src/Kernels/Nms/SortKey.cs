namespace CudaKernels.Kernels;

/// <summary>
/// A float and an index packed into 64 bits whose unsigned order is: greater float first, equal floats by smaller index.
/// −0 equals +0; not-a-number comes last. Sorting keys allocates nothing and has one result whatever the algorithm.
/// </summary>
internal static class SortKey
{
    public static ulong Descending(float value, int index)
    {
        uint bits = (uint)BitConverter.SingleToInt32Bits(value);
        // On the bits, because compilers of the ILGPU path take away the addition of zero and lose not-a-number in comparisons.
        if (bits == 0x80000000)
            bits = 0;
        uint ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
        uint key = (bits & 0x7FFFFFFF) > 0x7F800000 ? uint.MaxValue : ~ascending;
        return (ulong)key << 32 | (uint)index;
    }

    public static int Index(ulong key) => (int)(uint)key;

    /// <summary>The float of a key; not-a-number as it went in.</summary>
    public static float Value(ulong key)
    {
        uint ascending = ~(uint)(key >> 32);
        return BitConverter.Int32BitsToSingle((int)((ascending & 0x80000000) != 0 ? ascending & 0x7FFFFFFF : ~ascending));
    }
}
