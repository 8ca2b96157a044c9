using ILGPU;
using ILGPU.Runtime;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// One piece of driver memory that small blocks are cut from: first hole that fits, neighbouring holes merged. Only the pool's lock
/// protects it.
/// </summary>
internal sealed class Slab(MemoryBuffer1D<byte, Stride1D.Dense> buffer)
{
    /// <summary>What every cut is aligned to: the widest access of a group of threads, twice.</summary>
    public const int Alignment = 256;

    private readonly SortedList<long, long> holes = new() { [0] = buffer.Length }; // length by start

    public MemoryBuffer1D<byte, Stride1D.Dense> Buffer { get; } = buffer;

    /// <summary>Nothing is cut from it.</summary>
    public bool IsWhole => holes.Count == 1 && holes.Values[0] == Buffer.Length;

    /// <summary>Start of the piece, or -1 when no hole is large enough.</summary>
    public long Cut(long bytes)
    {
        bytes = Padded(bytes);
        for (int i = 0; i < holes.Count; i++)
        {
            var (start, length) = (holes.Keys[i], holes.Values[i]);
            if (length < bytes)
                continue;
            holes.RemoveAt(i);
            if (length > bytes)
                holes.Add(start + bytes, length - bytes);
            return start;
        }
        return -1;
    }

    /// <summary>Takes a piece back.</summary>
    public void Return(long start, long bytes)
    {
        long end = start + Padded(bytes);
        if (holes.Remove(end, out long behind))
            end += behind;
        holes.Add(start, end - start);
        int at = holes.IndexOfKey(start);
        if (at > 0 && holes.Keys[at - 1] + holes.Values[at - 1] == start)
        {
            holes.RemoveAt(at);
            holes.SetValueAtIndex(at - 1, end - holes.Keys[at - 1]);
        }
    }

    private static long Padded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;
}
