using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Mean and biased variance of each column of a product, measured while its tiles are in shared memory: of each part, half the rows of a tile, mean and Σ(x - mean)² in float, over at
/// most 64 rows; the parts are merged in double as in <see cref="NormMoments"/>, by a tree of fixed shape. The product is not read again.
/// </summary>
/// <param name="Parts">(part, column): mean and squares.</param>
/// <param name="PartRows">Rows of a part; the last ones have fewer or none.</param>
internal readonly record struct ColumnMoments(ArrayView<F2> Parts, ArrayView<float> Mean, ArrayView<float> Variance, int Rows, int Columns, int PartRows)
{
    /// <summary>Parts of a product cut into tiles of that size.</summary>
    public static int Count(ProductShape shape, int size) => (shape.Rows + size - 1) / size * 2;

    public void Merge(GpuDevice device) => device.Launch(Kernel, Columns, ChannelGrid.Threads, this);

    /// <summary>Of one column and the rows [first, first + rows) of a tile that lie in shared memory.</summary>
    public static F2 Measure(ArrayView<float> column, int pitch, int rows)
    {
        float sum = 0, squares = 0;
        for (int row = 0; row < rows; row++)
            sum += column[row * pitch];
        float mean = sum / Math.Max(1, rows);
        for (int row = 0; row < rows; row++)
        {
            float distance = column[row * pitch] - mean;
            squares += distance * distance;
        }
        return new(mean, squares);
    }

    private static void Kernel(ColumnMoments a)
    {
        var counts = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var means = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var squares = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        double count = 0, mean = 0, square = 0;
        for (int part = Group.IdxX; (long)part * a.PartRows < a.Rows; part += ChannelGrid.Threads)
        {
            F2 moments = a.Parts[(long)part * a.Columns + Grid.IdxX];
            double rows = Math.Min(a.PartRows, a.Rows - part * a.PartRows), distance = moments.X - mean, share = rows / (count + rows);
            mean += distance * share;
            square += moments.Y + distance * distance * (count * share);
            count += rows;
        }
        NormMoments.MergeThreads(counts, means, squares, count, mean, square, 1);
        if (Group.IdxX == 0)
        {
            a.Mean[Grid.IdxX] = (float)means[0];
            a.Variance[Grid.IdxX] = (float)(squares[0] / Math.Max(1, counts[0]));
        }
    }
}
