using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path: count, mean and sum of squared distances of parts, merged as (Chan, Golub, LeVeque 1979)
///   δ = m_b − m_a,  mean = m_a + δ·n_b/n,  squares = s_a + s_b + δ²·n_a·n_b/n
/// A thread reads eight rows, finds their own moments in registers and merges them to its own in float, its values shifted by its
/// first one so that a large mean costs no digits; a group merges its threads as a tree in double, a second kernel the chunks.
/// The data is read once.
/// </summary>
internal readonly unsafe partial record struct NormMoments
{
    private const int RowsPerThread = 32;

    public void Run(GpuDevice device)
    {
        var grid = new ImageGrid(Layout, RowsPerThread, GpuReduce.MostGroups);
        using var scratch = GpuReduce.RentDoubles(device, 2L * Layout.Images * Layout.Channels * grid.One.Chunks, Owner);
        var partial = GpuReduce.Doubles(device, scratch);
        device.Launch(ChunkKernel, grid.Groups, ChannelGrid.Threads, new ChunkArguments(device.F32(X), partial, grid));
        device.Launch(MergeKernel, (long)Layout.Images * Layout.Groups, ChannelGrid.Threads, new MergeArguments(partial, device.F32(Mean), device.F32(Variance), grid));
    }

    internal readonly record struct ChunkArguments(ArrayView<float> X, ArrayView<double> Partial, ImageGrid Grid);

    internal readonly record struct MergeArguments(ArrayView<double> Partial, ArrayView<float> Mean, ArrayView<float> Variance, ImageGrid Grid);

    /// <summary>Mean and squares of (image, channel) c in chunk k to partial[2·(c·chunks + k)] and the number after it.</summary>
    private static void ChunkKernel(ChunkArguments a)
    {
        var counts = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var means = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var squares = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var x = a.X;
        int channel = a.Grid.Channel, row = a.Grid.FirstRow, end = a.Grid.EndRow, step = a.Grid.One.Step, count = 0;
        float shift = 0, mean = 0, square = 0;
        if (channel < a.Grid.Layout.Channels && row < end)
        {
            long at = a.Grid.At(row), stride = a.Grid.Stride;
            shift = x[at];
            for (; row + 7 * step < end; row += 8 * step, at += 8 * stride)
            {
                float x0 = x[at] - shift, x1 = x[at + stride] - shift, x2 = x[at + 2 * stride] - shift, x3 = x[at + 3 * stride] - shift;
                float x4 = x[at + 4 * stride] - shift, x5 = x[at + 5 * stride] - shift, x6 = x[at + 6 * stride] - shift, x7 = x[at + 7 * stride] - shift;
                float m = (((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7))) * 0.125f;
                x0 -= m;
                x1 -= m;
                x2 -= m;
                x3 -= m;
                x4 -= m;
                x5 -= m;
                x6 -= m;
                x7 -= m;
                float distance = m - mean, share = 8f / (count + 8);
                mean += distance * share;
                square += ((x0 * x0 + x1 * x1) + (x2 * x2 + x3 * x3)) + ((x4 * x4 + x5 * x5) + (x6 * x6 + x7 * x7)) + distance * distance * (count * share);
                count += 8;
            }
            for (; row < end; row += step, at += stride)
            {
                float distance = x[at] - shift - mean;
                count++;
                float part = distance / count;
                mean += part;
                square += distance * (distance - part);
            }
        }
        MergeThreads(counts, means, squares, count, (double)shift + mean, square, a.Grid.One.Columns);
        if (Group.IdxX < a.Grid.One.Columns && channel < a.Grid.Layout.Channels)
        {
            long to = 2 * (a.Grid.OfChannel * a.Grid.One.Chunks + a.Grid.Chunk);
            a.Partial[to] = means[Group.IdxX];
            a.Partial[to + 1] = squares[Group.IdxX];
        }
    }

    /// <summary>The chunks of a group's channels lie one after another.</summary>
    private static void MergeKernel(MergeArguments a)
    {
        var counts = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var means = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        var squares = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        int chunks = a.Grid.One.Chunks;
        long parts = (long)chunks * a.Grid.Layout.GroupChannels, first = Grid.IdxX * parts;
        double count = 0, mean = 0, square = 0;
        for (long part = Group.IdxX; part < parts; part += ChannelGrid.Threads)
        {
            long from = 2 * (first + part);
            double rows = a.Grid.One.RowsOf((int)(part % chunks)), distance = a.Partial[from] - mean, share = rows / Math.Max(1, count + rows);
            mean += distance * share;
            square += a.Partial[from + 1] + distance * distance * (count * share);
            count += rows;
        }
        MergeThreads(counts, means, squares, count, mean, square, 1);
        if (Group.IdxX == 0)
        {
            a.Mean[Grid.IdxX] = (float)means[0];
            a.Variance[Grid.IdxX] = (float)(squares[0] / Math.Max(1, counts[0]));
        }
    }

    /// <summary>The tree of <see cref="GpuReduce.Tree"/> for moments.</summary>
    public static void MergeThreads(
        ArrayView<double> counts, ArrayView<double> means, ArrayView<double> squares, double count, double mean, double square, int columns)
    {
        int thread = Group.IdxX;
        counts[thread] = count;
        means[thread] = mean;
        squares[thread] = square;
        Group.Barrier();
        for (int half = ChannelGrid.Threads / 2; half >= columns; half /= 2)
        {
            if (thread < half)
            {
                double first = counts[thread], second = counts[thread + half], start = means[thread];
                double distance = means[thread + half] - start, share = second / Math.Max(1, first + second);
                counts[thread] = first + second;
                means[thread] = start + distance * share;
                squares[thread] = squares[thread] + squares[thread + half] + distance * distance * (first * share);
            }
            Group.Barrier();
        }
    }
}
