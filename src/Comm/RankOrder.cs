using System.Numerics;
using System.Runtime.InteropServices;

namespace CudaKernels.Comm;

/// <summary>
/// y = ((x0 + x1) + x2) + ..., or the maximum, over the ranks' values in the order of their ranks. Which rank does it for which elements makes no
/// difference to the bits, nor does the width of the vectors. A NaN stays one.
/// </summary>
internal static unsafe class RankOrder
{
    /// <summary>Values combined at a time, so that what is between the ranks' values stays in the nearest cache.</summary>
    public const int Block = 2048;

    /// <summary>The share of member <paramref name="rank"/> of <paramref name="length"/> elements.</summary>
    public static (long Start, long Length) Share(long length, int rank, int size)
    {
        long start = length / size * rank + Math.Min(rank, length % size);
        return (start, length / size + (rank < length % size ? 1 : 0));
    }

    /// <summary>Combines the floats that begin <paramref name="offset"/> elements after each of the addresses.</summary>
    public static void Combine(ReadOnlySpan<nint> addresses, long offset, Span<float> y, Reduction reduction)
    {
        new ReadOnlySpan<float>((float*)addresses[0] + offset, y.Length).CopyTo(y);
        foreach (nint address in addresses[1..])
        {
            var x = new ReadOnlySpan<float>((float*)address + offset, y.Length);
            var wideY = MemoryMarshal.Cast<float, Vector<float>>(y);
            var wideX = MemoryMarshal.Cast<float, Vector<float>>(x);
            if (reduction == Reduction.Sum)
            {
                for (int i = 0; i < wideY.Length; i++)
                    wideY[i] += wideX[i];
                for (int i = wideY.Length * Vector<float>.Count; i < y.Length; i++)
                    y[i] += x[i];
            }
            else
            {
                for (int i = 0; i < wideY.Length; i++)
                    wideY[i] = Vector.Max(wideY[i], wideX[i]);
                for (int i = wideY.Length * Vector<float>.Count; i < y.Length; i++)
                    y[i] = MathF.Max(y[i], x[i]);
            }
        }
    }
}
