using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The size of a tile; a type, so that the choice is made when the kernel is compiled.</summary>
internal interface ITileSize
{
    /// <summary>Rows, and columns.</summary>
    static abstract int Size { get; }
}

internal readonly struct Tile64 : ITileSize
{
    public static int Size => 64;
}

internal readonly struct Tile128 : ITileSize
{
    public static int Size => 128;
}

/// <summary>
/// A product on tensor cores: one group of threads computes a tile of Size x Size elements, a warp Size/2 x 32 of them: two warps side by side in rows, Size/32 in
/// columns. Tiles of both sides, 16 words of depth each (16 TF32 or 32 bf16 numbers), come by asynchronous copies into three stages of shared memory, so that two
/// are under way while one is multiplied; 48 KB for a tile of 128, as much as needs no asking. A step of eight words takes
/// Size/32 fragments of A and two loads of B (see <see cref="TensorSide"/>, <see cref="TensorCore"/>). Sums are float32, over depth in one order; they go
/// through shared memory to the target, by 128 bits a thread.
/// Both sides have to lie so that chunks of 16 bytes may be read. Equals <see cref="ProductTile"/> up to the rounding of the operands.
/// </summary>
internal static class TensorTile
{
    private const int Stages = 3, WarpColumns = 32;

    public static int Threads<TSize>() where TSize : struct, ITileSize => 2 * TSize.Size;

    public static void Kernel<TA, TB, TNumber, TSize>(ProductArguments<TA, TB> arguments)
        where TA : struct, IOperand where TB : struct, IOperand where TNumber : struct, ITensorNumber where TSize : struct, ITileSize
    {
        int side = TensorSide.RowChunks * TSize.Size;
        var shared = SharedMemory.Allocate<F4>(Stages * 2 * TensorSide.RowChunks * TSize.Size);
        var shape = arguments.Shape;
        var block = ProductBlock.At(shape, TSize.Size, Grid.IdxX);
        int first = block.Split * shape.SplitDepth, last = Math.Min(first + shape.SplitDepth, shape.Depth), thread = Group.IdxX;
        var a = TensorSide.At<TA, TNumber>(arguments.A, TSize.Size, block.Row, shape.Rows, block.Group * shape.GroupA, first, thread);
        var b = TensorSide.At<TB, TNumber>(arguments.B, TSize.Size, block.Column, shape.Columns, block.Group * shape.GroupB, first, thread);
        int next = 0;
        for (; next < (Stages - 1) * 2 * side; next += 2 * side)
        {
            a.Copy<TA, TNumber>(arguments.A, shared, next, TSize.Size, last);
            b.Copy<TB, TNumber>(arguments.B, shared, next + side, TSize.Size, last);
            TensorCore.Commit();
            a = a.Next<TA, TNumber>(arguments.A);
            b = b.Next<TB, TNumber>(arguments.B);
        }

        int lane = thread % TensorCore.WarpSize, warp = thread / TensorCore.WarpSize;
        int row = (warp & 1) * (TSize.Size / 2), column = (warp >> 1) * WarpColumns;
        int placeA = TensorSide.LanePlace<TA, TNumber>(TSize.Size, row, lane, right: false), placeB = TensorSide.LanePlace<TB, TNumber>(TSize.Size, column, lane, right: true);
        Line sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        int current = 0;
        for (int depth = first; depth < last; depth += TensorSide.Words * TNumber.PerWord)
        {
            TensorCore.AwaitAllButOne();
            Group.Barrier(); // this stage is there for all, and all are done with the one before, which is overwritten now
            a.Copy<TA, TNumber>(arguments.A, shared, next, TSize.Size, last);
            b.Copy<TB, TNumber>(arguments.B, shared, next + side, TSize.Size, last);
            TensorCore.Commit();
            a = a.Next<TA, TNumber>(arguments.A);
            b = b.Next<TB, TNumber>(arguments.B);
            next = current;
            Multiply<TA, TB, TNumber, TSize>(shared, current, placeA, placeB, 0, ref sum0, ref sum1, ref sum2, ref sum3);
            Multiply<TA, TB, TNumber, TSize>(shared, current, placeA, placeB, 1, ref sum0, ref sum1, ref sum2, ref sum3);
            current = current == (Stages - 1) * 2 * side ? 0 : current + 2 * side;
        }

        TensorCore.AwaitAll();
        for (int half = 0; half < 2; half++)
        {
            Group.Barrier(); // nobody reads shared memory any more
            if ((warp & 1) == half)
            {
                int at = (lane >> 2) * Pitch<TSize>() / 2 + column / 2 + (lane & 3);
                var pairs = shared.Cast<F2>();
                sum0.Lay(pairs, at, Pitch<TSize>());
                sum1.Lay(pairs, at + 8 * Pitch<TSize>(), Pitch<TSize>());
                if (TSize.Size == 128)
                {
                    sum2.Lay(pairs, at + 16 * Pitch<TSize>(), Pitch<TSize>());
                    sum3.Lay(pairs, at + 24 * Pitch<TSize>(), Pitch<TSize>());
                }
            }
            Group.Barrier();
            Store<TSize>(arguments.Target, shape, block, shared, half * (TSize.Size / 2), thread);
            if (arguments.Target.Measures != 0 && thread < TSize.Size && block.Column + thread < shape.Columns)
            {
                int part = block.Row / (TSize.Size / 2) + half, rows = Math.Min(TSize.Size / 2, shape.Rows - part * (TSize.Size / 2));
                arguments.Target.Parts[(long)part * shape.Columns + block.Column + thread] = ColumnMoments.Measure(shared.Cast<float>().SubView(thread), Pitch<TSize>(), rows);
            }
        }
    }

    /// <summary>Floats from row to row of sums in shared memory: 8 modulo 32, so that the pairs which half a warp lays, four to a row, are in all banks once.</summary>
    public static int Pitch<TSize>() where TSize : struct, ITileSize => TSize.Size + 8;

    /// <summary>Half the rows of the tile, from shared memory to the target: neighbouring threads store neighbouring fours of columns.</summary>
    private static void Store<TSize>(ProductTarget target, ProductShape shape, ProductBlock block, ArrayView<F4> shared, int first, int thread) where TSize : struct, ITileSize
    {
        int line = thread / (TSize.Size / 4), chunk = thread - line * (TSize.Size / 4);
        for (; line < TSize.Size / 2; line += Threads<TSize>() / (TSize.Size / 4))
        {
            int row = block.Row + first + line;
            if (row < shape.Rows)
                target.StoreFour(target.Row(block.Split, block.Group, row), block.Column + 4 * chunk, shape.Columns, block.Group, shared[line * (Pitch<TSize>() / 4) + chunk]);
        }
    }

    /// <summary>The warp's sums += eight words of depth.</summary>
    private static void Multiply<TA, TB, TNumber, TSize>(
        ArrayView<F4> shared, int tile, int placeA, int placeB, int step, ref Line sum0, ref Line sum1, ref Line sum2, ref Line sum3)
        where TA : struct, IOperand where TB : struct, IOperand where TNumber : struct, ITensorNumber where TSize : struct, ITileSize
    {
        int side = TensorSide.RowChunks * TSize.Size;
        var left = TensorSide.Load<TB, TNumber>(shared, tile + side, TSize.Size, placeB, 0, step, right: true);
        var right = TensorSide.Load<TB, TNumber>(shared, tile + side, TSize.Size, placeB, 1, step, right: true);
        sum0.Add<TNumber>(TensorSide.Load<TA, TNumber>(shared, tile, TSize.Size, placeA, 0, step, right: false), left, right);
        sum1.Add<TNumber>(TensorSide.Load<TA, TNumber>(shared, tile, TSize.Size, placeA, 1, step, right: false), left, right);
        if (TSize.Size == 64)
            return;
        sum2.Add<TNumber>(TensorSide.Load<TA, TNumber>(shared, tile, TSize.Size, placeA, 2, step, right: false), left, right);
        sum3.Add<TNumber>(TensorSide.Load<TA, TNumber>(shared, tile, TSize.Size, placeA, 3, step, right: false), left, right);
    }

    /// <summary>A warp's sums of 16 rows x 32 columns: four fragments of C side by side.</summary>
    private struct Line
    {
        private F4 c0, c1, c2, c3;

        public void Add<TNumber>(Words a, Words left, Words right) where TNumber : struct, ITensorNumber
        {
            c0 = TNumber.Multiply(c0, a, left.X, left.Y);
            c1 = TNumber.Multiply(c1, a, left.Z, left.W);
            c2 = TNumber.Multiply(c2, a, right.X, right.Y);
            c3 = TNumber.Multiply(c3, a, right.Z, right.W);
        }

        /// <summary>Lays the lane's pairs of row g, from a place on, and of row g + 8 into shared memory.</summary>
        /// <param name="shared">Shared memory.</param>
        /// <param name="at">The first pair's place.</param>
        /// <param name="pitch">Floats from row to row.</param>
        public readonly void Lay(ArrayView<F2> shared, int at, int pitch)
        {
            Lay(shared, at, new(c0.X, c0.Y), new(c1.X, c1.Y), new(c2.X, c2.Y), new(c3.X, c3.Y));
            Lay(shared, at + 4 * pitch, new(c0.Z, c0.W), new(c1.Z, c1.W), new(c2.Z, c2.W), new(c3.Z, c3.W));
        }

        private static void Lay(ArrayView<F2> shared, int at, F2 first, F2 second, F2 third, F2 fourth)
        {
            shared[at] = first;
            shared[at + 4] = second;
            shared[at + 8] = third;
            shared[at + 12] = fourth;
        }
    }
}
