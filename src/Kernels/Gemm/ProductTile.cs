using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>How many floats one load takes; a type, so that the choice is made when the kernel is compiled.</summary>
internal interface ILoadWidth
{
    static abstract bool Four { get; }
}

internal readonly struct ByOne : ILoadWidth
{
    public static bool Four => false;
}

internal readonly struct ByFour : ILoadWidth
{
    public static bool Four => true;
}

/// <summary>
/// One group of 256 threads computes a tile of 64 x 64 elements, a thread 4 x 4 of them. Per step 16 of the depth of both sides are
/// laid into shared memory as (depth, row), from where a thread reads four rows and four columns in one access each; the loads of
/// the next step are under way meanwhile. A line of shared memory is four floats longer than the tile, which spreads
/// the writes of neighbours in depth over the banks.
/// </summary>
internal static class ProductTile
{
    public const int Size = 64, Threads = 256, Depth = 16;
    private const int Pitch = Size + 4, Lines = Pitch / 4;

    public static void Kernel<TA, TB, TWidth>(ProductArguments<TA, TB> arguments)
        where TA : struct, IOperand where TB : struct, IOperand where TWidth : struct, ILoadWidth
    {
        var tileA = SharedMemory.Allocate<F4>(Depth * Lines);
        var tileB = SharedMemory.Allocate<F4>(Depth * Lines);
        var shape = arguments.Shape;
        var (row, column, group, split) = ProductBlock.At(shape, Size, Grid.IdxX);
        int first = split * shape.SplitDepth, last = Math.Min(first + shape.SplitDepth, shape.Depth);

        int thread = Group.IdxX, y = thread / 16, x = thread - y * 16;
        var rowsA = Rows<TA, TWidth>(arguments.A, row, shape.Rows, group * shape.GroupA, thread);
        var rowsB = Rows<TB, TWidth>(arguments.B, column, shape.Columns, group * shape.GroupB, thread);
        var nextA = Load<TA, TWidth>(arguments.A, rowsA, first, last, thread);
        var nextB = Load<TB, TWidth>(arguments.B, rowsB, first, last, thread);
        F4 sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (int start = first; start < last; start += Depth)
        {
            Store<TA, TWidth>(tileA.Cast<float>(), nextA, thread);
            Store<TB, TWidth>(tileB.Cast<float>(), nextB, thread);
            Group.Barrier();
            nextA = Load<TA, TWidth>(arguments.A, rowsA, start + Depth, last, thread);
            nextB = Load<TB, TWidth>(arguments.B, rowsB, start + Depth, last, thread);
            for (int depth = 0; depth < Depth; depth++)
            {
                F4 a = tileA[depth * Lines + y], b = tileB[depth * Lines + x];
                sum0 = F4.MultiplyAdd(a.X, b, sum0);
                sum1 = F4.MultiplyAdd(a.Y, b, sum1);
                sum2 = F4.MultiplyAdd(a.Z, b, sum2);
                sum3 = F4.MultiplyAdd(a.W, b, sum3);
            }
            Group.Barrier();
        }
        row += 4 * y;
        column += 4 * x;
        Write(arguments.Target, shape, split, group, row, column, sum0);
        Write(arguments.Target, shape, split, group, row + 1, column, sum1);
        Write(arguments.Target, shape, split, group, row + 2, column, sum2);
        Write(arguments.Target, shape, split, group, row + 3, column, sum3);
    }

    /// <summary>The rows of the four elements a thread loads each step; with 128-bit loads, and where rows are adjacent, all four share the first.</summary>
    private readonly record struct Places(Place P0, Place P1, Place P2, Place P3);

    /// <summary>Rows behind the last one repeat it: what they give is not stored.</summary>
    private static Places Rows<TOperand, TWidth>(TOperand operand, int first, int count, long group, int thread)
        where TOperand : struct, IOperand where TWidth : struct, ILoadWidth
    {
        int row = first + Row<TOperand, TWidth>(thread), end = TWidth.Four && TOperand.RowsAdjacent ? count - 4 : count - 1;
        var place = At(operand, Math.Min(row, end), group);
        return TWidth.Four || TOperand.RowsAdjacent
            ? new(place, place, place, place)
            : new(place, At(operand, Math.Min(row + 16, end), group), At(operand, Math.Min(row + 32, end), group), At(operand, Math.Min(row + 48, end), group));
    }

    private static Place At<TOperand>(TOperand operand, int row, long group) where TOperand : struct, IOperand => operand.Row(row).Moved(group);

    /// <summary>Row in the tile of a thread's first element. By one: 64 rows or 16 of depth side by side; by four: 16 times four rows, or 4 times four of depth.</summary>
    private static int Row<TOperand, TWidth>(int thread) where TOperand : struct, IOperand where TWidth : struct, ILoadWidth =>
        TWidth.Four
            ? TOperand.RowsAdjacent ? thread % 16 * 4 : thread / 4
            : TOperand.RowsAdjacent ? thread % 64 : thread / 16;

    private static int DepthOf<TOperand, TWidth>(int thread) where TOperand : struct, IOperand where TWidth : struct, ILoadWidth =>
        TWidth.Four
            ? TOperand.RowsAdjacent ? thread / 16 : thread % 4 * 4
            : TOperand.RowsAdjacent ? thread / 64 : thread % 16;

    /// <summary>A thread's four elements of the step that begins at depth <paramref name="start"/>; zero from <paramref name="last"/> on.</summary>
    private static F4 Load<TOperand, TWidth>(TOperand operand, Places rows, int start, int last, int thread)
        where TOperand : struct, IOperand where TWidth : struct, ILoadWidth
    {
        int depth = start + DepthOf<TOperand, TWidth>(thread);
        if (TWidth.Four)
            return depth < last ? operand.LoadFour(rows.P0, operand.Depth(depth)) : default;
        if (TOperand.RowsAdjacent)
            return new(One(operand, rows.P0, depth, last), One(operand, rows.P0, depth + 4, last),
                One(operand, rows.P0, depth + 8, last), One(operand, rows.P0, depth + 12, last));
        if (depth >= last)
            return default;
        var place = operand.Depth(depth);
        return new(operand.Load(rows.P0, place), operand.Load(rows.P1, place), operand.Load(rows.P2, place), operand.Load(rows.P3, place));
    }

    private static float One<TOperand>(TOperand operand, Place row, int depth, int last) where TOperand : struct, IOperand =>
        depth < last ? operand.Load(row, operand.Depth(depth)) : 0;

    private static void Store<TOperand, TWidth>(ArrayView<float> tile, F4 values, int thread) where TOperand : struct, IOperand where TWidth : struct, ILoadWidth
    {
        int at = DepthOf<TOperand, TWidth>(thread) * Pitch + Row<TOperand, TWidth>(thread);
        int step = TWidth.Four
            ? TOperand.RowsAdjacent ? 1 : Pitch
            : TOperand.RowsAdjacent ? 4 * Pitch : 16;
        tile[at] = values.X;
        tile[at + step] = values.Y;
        tile[at + 2 * step] = values.Z;
        tile[at + 3 * step] = values.W;
    }

    private static void Write(ProductTarget target, ProductShape shape, int split, int group, int row, int column, F4 values)
    {
        if (row < shape.Rows)
            target.StoreFour(target.Row(split, group, row), column, shape.Columns, group, values);
    }
}
