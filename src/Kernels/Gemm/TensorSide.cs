using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// One side of a <see cref="TensorTile"/> in shared memory: Size rows x 16 words of depth, in chunks of 16 bytes that are copied whole and
/// permuted so that neither copies nor fragments meet in a bank. A chunk is an eighth of the 128 bytes that the banks hold at once: chunks whose places
/// are equal modulo 8 share their banks.
/// <para>
/// Depth adjacent in memory: lines are rows, 4 chunks each. Chunk c of row r lies at place 4·r + (c ^ (r/2 mod 4)). ldmatrix reads one c of eight
/// rows at once: two rows fill 128 bytes, so modulo 8 the places are 4·(r mod 2) + (c ^ (r/2 mod 4)), all different.
/// </para>
/// <para>
/// Rows adjacent in memory: lines are steps of depth, Size/4 or Size/8 chunks each, a multiple of 8: a chunk's place modulo 8 is that of <see cref="ITensorNumber.Swizzle"/> alone.
/// </para>
/// Copies are by eight neighbouring threads at once, which write eight chunks that neither permutation takes out of their 128 bytes.
/// </summary>
/// <param name="Row0">Row of the thread's first chunk.</param>
/// <param name="Row1">Row of its second one, Size/2 rows on; where rows are adjacent the second is as many steps of depth on.</param>
/// <param name="Depth0">Depth of the first.</param>
/// <param name="Depth1">Depth of the second.</param>
/// <param name="Depth">The first's depth as a number.</param>
/// <param name="To">Where in the tile the first goes.</param>
internal readonly record struct TensorSide(Place Row0, Place Row1, Place Depth0, Place Depth1, int Depth, int To)
{
    /// <summary>Words of depth in a tile, and chunks of a row.</summary>
    public const int Words = 16, RowChunks = 4;

    private const int ChunkBytes = 16, ChunkWords = 4;

    /// <summary>Where a thread begins to copy: rows from <paramref name="row"/> on, those behind the last one repeat it, as what they give is not stored.</summary>
    public static TensorSide At<TOperand, TNumber>(TOperand operand, int size, int row, int rows, long group, int depth, int thread)
        where TOperand : struct, IOperand where TNumber : struct, ITensorNumber
    {
        int chunks = TOperand.RowsAdjacent ? TNumber.Chunks(size) : RowChunks;
        int line = thread / chunks, chunk = thread - line * chunks, numbers = ChunkWords * TNumber.PerWord;
        if (TOperand.RowsAdjacent)
        {
            var place = operand.Row(Math.Min(row + chunk * numbers, rows - numbers)).Moved(group);
            return new(place, place, operand.Depth(depth + line), operand.Depth(depth + line + SecondLine<TNumber>()), depth + line, line * chunks + TNumber.Swizzle(line, chunk));
        }
        var along = operand.Depth(depth + chunk * numbers);
        return new(operand.Row(Math.Min(row + line, rows - 1)).Moved(group), operand.Row(Math.Min(row + line + size / 2, rows - 1)).Moved(group),
            along, along, depth + chunk * numbers, line * chunks + Swizzle(line, chunk));
    }

    /// <summary>Begins to copy the thread's two chunks into the tile; zeros for depth from <paramref name="last"/> on.</summary>
    public void Copy<TOperand, TNumber>(TOperand operand, ArrayView<F4> shared, int tile, int size, int last)
        where TOperand : struct, IOperand where TNumber : struct, ITensorNumber
    {
        Copy<TOperand, TNumber>(operand, shared, tile + To, Row0, Depth0, Depth < last);
        // Half of the lines on, where the permutation is the same.
        Copy<TOperand, TNumber>(operand, shared, tile + To + 2 * size, Row1, Depth1, (TOperand.RowsAdjacent ? Depth + SecondLine<TNumber>() : Depth) < last);
    }

    /// <summary>The same thread's place in the next tile along the depth.</summary>
    public TensorSide Next<TOperand, TNumber>(TOperand operand) where TOperand : struct, IOperand where TNumber : struct, ITensorNumber
    {
        int step = Words * TNumber.PerWord;
        var depth = operand.NextDepth(Depth0, step);
        return new(Row0, Row1, depth, TOperand.RowsAdjacent ? operand.NextDepth(Depth1, step) : depth, Depth + step, To);
    }

    /// <summary>Where in a tile a lane reads of fragments from a row on that is a multiple of 32; for <see cref="Load"/>.</summary>
    public static int LanePlace<TOperand, TNumber>(int size, int row, int lane, bool right)
        where TOperand : struct, IOperand where TNumber : struct, ITensorNumber
    {
        if (TOperand.RowsAdjacent)
            return TNumber.LanePlace(TNumber.Chunks(size), row, lane, right);
        int odd = lane >> 3 & 1, high = lane >> 4, line = row + 8 * (right ? high : odd) + (lane & 7);
        return line * RowChunks + Swizzle(line, right ? odd : high);
    }

    /// <summary>
    /// Rows [16·block, 16·block + 16), from the row of the lane's place on, and words [8·step, 8·step + 8) of depth, as four blocks of eight rows and four words: in the
    /// order of a fragment of A, rows first; or, on the right, words first: two fragments of B, X with Y and Z with W.
    /// </summary>
    public static Words Load<TOperand, TNumber>(ArrayView<F4> shared, int tile, int size, int place, int block, int step, bool right)
        where TOperand : struct, IOperand where TNumber : struct, ITensorNumber =>
        TNumber.Round(TOperand.RowsAdjacent
            ? TNumber.LoadLines(shared, tile, TNumber.Chunks(size), place, block, step, right)
            : TensorCore.LoadMatrices(ref shared[tile + 16 * RowChunks * block + (place ^ 2 * step)])); // eight words are two chunks

    /// <summary>Where in its row a chunk lies.</summary>
    public static int Swizzle(int row, int chunk) => chunk ^ row >> 1 & 3;

    private static int SecondLine<TNumber>() where TNumber : struct, ITensorNumber => Words * TNumber.PerWord / 2;

    private static void Copy<TOperand, TNumber>(TOperand operand, ArrayView<F4> shared, int to, Place row, Place depth, bool inside)
        where TOperand : struct, IOperand where TNumber : struct, ITensorNumber
    {
        inside &= operand.Has(row, depth);
        long chunk = inside ? operand.Index(row, depth) >> 1 + TNumber.PerWord : 0; // four or eight numbers
        TensorCore.Copy(ref shared[to], ref operand.Values.Cast<F4>()[chunk], inside ? ChunkBytes : 0);
    }
}
