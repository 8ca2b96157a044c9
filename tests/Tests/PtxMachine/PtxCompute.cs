namespace CudaKernels.Tests;

/// <summary>Makes a step of a function of cells, singles or doubles: each running thread applies it to its own registers.</summary>
internal static class PtxCompute
{
    /// <param name="rows">Where the registers are: that of the result first.</param>
    /// <returns>Nothing where the function takes another number of operands.</returns>
    public static PtxStep? Step(Delegate function, int[] rows) => (function, rows) switch
    {
        (Func<ulong, ulong> f, [var d, var a]) => One<ulong, Raw>(f, d, a),
        (Func<ulong, ulong, ulong> f, [var d, var a, var b]) => Two<ulong, Raw>(f, d, a, b),
        (Func<ulong, ulong, ulong, ulong> f, [var d, var a, var b, var c]) => Three<ulong, Raw>(f, d, a, b, c),
        (Func<ulong, ulong, ulong, ulong, ulong> f, [var d, var a, var b, var c, var e]) => Four(f, d, a, b, c, e),
        (Func<float, float> f, [var d, var a]) => One<float, Single>(f, d, a),
        (Func<float, float, float> f, [var d, var a, var b]) => Two<float, Single>(f, d, a, b),
        (Func<float, float, float, float> f, [var d, var a, var b, var c]) => Three<float, Single>(f, d, a, b, c),
        (Func<double, double> f, [var d, var a]) => One<double, Double>(f, d, a),
        (Func<double, double, double> f, [var d, var a, var b]) => Two<double, Double>(f, d, a, b),
        (Func<double, double, double, double> f, [var d, var a, var b, var c]) => Three<double, Double>(f, d, a, b, c),
        _ => null,
    };

    public static PtxStep Copy(int d, int a) => warp =>
    {
        ulong[] cells = warp.Cells;
        foreach (int lane in warp.Running)
            cells[d + lane] = cells[a + lane];
    };

    private interface ICell<T>
    {
        static abstract T Read(ulong cell);

        static abstract ulong Write(T value);
    }

    private readonly struct Raw : ICell<ulong>
    {
        public static ulong Read(ulong cell) => cell;

        public static ulong Write(ulong value) => value;
    }

    private readonly struct Single : ICell<float>
    {
        public static float Read(ulong cell) => PtxType.Single(cell);

        public static ulong Write(float value) => PtxType.Cell(value);
    }

    private readonly struct Double : ICell<double>
    {
        public static double Read(ulong cell) => PtxType.Double(cell);

        public static ulong Write(double value) => PtxType.Cell(value);
    }

    private static PtxStep One<T, TCell>(Func<T, T> f, int d, int a) where TCell : struct, ICell<T> => warp =>
    {
        ulong[] cells = warp.Cells;
        foreach (int lane in warp.Running)
            cells[d + lane] = TCell.Write(f(TCell.Read(cells[a + lane])));
    };

    private static PtxStep Two<T, TCell>(Func<T, T, T> f, int d, int a, int b) where TCell : struct, ICell<T> => warp =>
    {
        ulong[] cells = warp.Cells;
        foreach (int lane in warp.Running)
            cells[d + lane] = TCell.Write(f(TCell.Read(cells[a + lane]), TCell.Read(cells[b + lane])));
    };

    private static PtxStep Three<T, TCell>(Func<T, T, T, T> f, int d, int a, int b, int c) where TCell : struct, ICell<T> => warp =>
    {
        ulong[] cells = warp.Cells;
        foreach (int lane in warp.Running)
            cells[d + lane] = TCell.Write(f(TCell.Read(cells[a + lane]), TCell.Read(cells[b + lane]), TCell.Read(cells[c + lane])));
    };

    private static PtxStep Four(Func<ulong, ulong, ulong, ulong, ulong> f, int d, int a, int b, int c, int e) => warp =>
    {
        ulong[] cells = warp.Cells;
        foreach (int lane in warp.Running)
            cells[d + lane] = f(cells[a + lane], cells[b + lane], cells[c + lane], cells[e + lane]);
    };
}
