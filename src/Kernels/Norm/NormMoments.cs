using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Mean Σx / n and variance Σ(x - mean)² / n (biased) of every (image, group) of a <see cref="NormLayout"/>. No rows: both 0.
/// <para>
/// E[x²] - mean² cancels when the mean is large, and two passes over the data cost twice the memory traffic. So the rows are cut
/// into blocks, and of each block d = x - m and d² are summed with m the mean of its first rows, a sixteenth of all n or more. Then
/// Σd² ≤ 17·Σ(x - mean)², as m lies no further from the mean than the head's own share of that sum allows: its cancellation costs a
/// digit at most. Blocks merge in double with the shift δ = m - mean:
/// mean = Σ(n_b·m + Σd) / n and n·variance = Σ(Σd² + 2δ·Σd + n_b·δ²) (Chan, Golub, LeVeque 1979); the channels of a group likewise.
/// </para>
/// Threads over blocks, lanes over channels (<see cref="ChannelPeriod"/>); the blocks depend on the shape alone. The data is read once.
/// </summary>
internal readonly unsafe partial record struct NormMoments(NormLayout Layout, TensorView X, TensorView Mean, TensorView Variance)
{
    private const string Owner = nameof(NormMoments);
    private const int HeadShare = 16;

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(Layout.Rows, Layout.Channels);
        var blocks = new ChannelBlocks(rows);
        bool single = Layout.GroupChannels == 1;
        using var sums = new Scratch(device, new Shape(checked(Layout.Images * blocks.Count), 3, rows.Width), DType.F32, Owner);
        using var moments = new Scratch(device, new Shape(2, single ? 0 : Layout.Images, Layout.Channels), DType.F32, Owner);
        float* mean = single ? Mean.F32 : moments.F32, variance = single ? Variance.F32 : mean + (long)Layout.Images * Layout.Channels;
        device.For(Layout.Images * blocks.Count, new BlockSums(X.F32, sums.F32, Layout.ImageLength, blocks), VectorRange.Grain(blocks.Rows * (long)rows.Width));
        var merge = new Merge(X.F32, sums.F32, mean, variance, Layout, rows, blocks);
        device.Team.For(Layout.Images * ChannelSlab.Count(rows.Channels), merge, ChannelSlab.Grain(blocks));
        if (!single)
            MergeChannels(mean, variance);
    }

    /// <summary>Channels of a group have equally many rows.</summary>
    private void MergeChannels(float* mean, float* variance)
    {
        int count = Layout.GroupChannels;
        for (int group = 0; group < Layout.Images * Layout.Groups; group++, mean += count, variance += count)
        {
            double total = 0, squares = 0;
            for (int c = 0; c < count; c++)
                total += mean[c];
            total /= count;
            for (int c = 0; c < count; c++)
                squares += variance[c] + (mean[c] - total) * (mean[c] - total);
            Mean.F32[group] = (float)total;
            Variance.F32[group] = (float)(squares / count);
        }
    }

    /// <summary>For its block and each lane: mean m of the head, Σd, Σd².</summary>
    private readonly struct BlockSums(float* x, float* sums, long imageLength, ChannelBlocks blocks) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int width = blocks.Width, vectors = width / TVector.Count * TVector.Count;
            for (int task = start; task < end; task++)
            {
                int image = task / blocks.Count;
                var (first, last) = blocks.Range(task - image * blocks.Count);
                float* data = x + image * imageLength + (long)first * width, to = sums + task * 3L * width;
                int head = (last - first + HeadShare - 1) / HeadShare;
                Mean<TVector>(data, to, head, width, 0, vectors);
                Mean<F32x1>(data, to, head, width, vectors, width);
                Centred<TVector>(data, to, last - first, width, 0, vectors);
                Centred<F32x1>(data, to, last - first, width, vectors, width);
            }
        }

        // Four rows at a time: one load and store of the running sums for four loads of data.
        [MethodImpl(HotLoop.Options)]
        private static void Mean<TVector>(float* data, float* mean, int rows, int width, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            for (int j = from; j < to; j += TVector.Count)
                TVector.Store(TVector.Zero, mean + j);
            int row = 0;
            for (; row + 4 <= rows; row += 4)
            {
                float* a = data + (long)row * width, b = a + width, c = b + width, d = c + width;
                for (int j = from; j < to; j += TVector.Count)
                    TVector.Store(TVector.Load(mean + j)
                        + ((TVector.Load(a + j) + TVector.Load(b + j)) + (TVector.Load(c + j) + TVector.Load(d + j))), mean + j);
            }
            for (; row < rows; row++)
                for (int j = from; j < to; j += TVector.Count)
                    TVector.Store(TVector.Load(mean + j) + TVector.Load(data + (long)row * width + j), mean + j);
            var share = TVector.Create(1f / rows);
            for (int j = from; j < to; j += TVector.Count)
                TVector.Store(TVector.Load(mean + j) * share, mean + j);
        }

        [MethodImpl(HotLoop.Options)]
        private static void Centred<TVector>(float* data, float* mean, int rows, int width, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            float* sum = mean + width, squares = sum + width;
            for (int j = from; j < to; j += TVector.Count)
            {
                TVector.Store(TVector.Zero, sum + j);
                TVector.Store(TVector.Zero, squares + j);
            }
            int row = 0;
            for (; row + 4 <= rows; row += 4)
            {
                float* a = data + (long)row * width, b = a + width, c = b + width, d = c + width;
                for (int j = from; j < to; j += TVector.Count)
                {
                    var m = TVector.Load(mean + j);
                    TVector p = TVector.Load(a + j) - m, q = TVector.Load(b + j) - m, r = TVector.Load(c + j) - m, s = TVector.Load(d + j) - m;
                    TVector.Store(TVector.Load(sum + j) + ((p + q) + (r + s)), sum + j);
                    TVector.Store(TVector.Load(squares + j) + (TVector.Fma(p, p, q * q) + TVector.Fma(r, r, s * s)), squares + j);
                }
            }
            for (; row < rows; row++)
                for (int j = from; j < to; j += TVector.Count)
                {
                    var p = TVector.Load(data + (long)row * width + j) - TVector.Load(mean + j);
                    TVector.Store(TVector.Load(sum + j) + p, sum + j);
                    TVector.Store(TVector.Fma(p, p, TVector.Load(squares + j)), squares + j);
                }
        }
    }

    /// <summary>Blocks in order, then the rows left over, in double; a task is a slab of an image's channels.</summary>
    private readonly struct Merge(float* x, float* sums, float* mean, float* variance, NormLayout layout, ChannelPeriod rows, ChannelBlocks blocks)
        : IRangeBody
    {
        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            double* total = stackalloc double[ChannelSlab.Size], squares = stackalloc double[ChannelSlab.Size];
            int slabs = ChannelSlab.Count(rows.Channels);
            for (int task = start; task < end; task++)
            {
                int image = task / slabs, first = task % slabs * ChannelSlab.Size, channels = Math.Min(ChannelSlab.Size, rows.Channels - first);
                new Span<double>(total, channels).Clear();
                new Span<double>(squares, channels).Clear();
                float* rest = x + image * layout.ImageLength + (long)rows.Rows * rows.Width + first, own = sums + image * 3L * blocks.Count * rows.Width;
                float* toMean = mean + (long)image * rows.Channels + first, toVariance = variance + (long)image * rows.Channels + first;
                for (int block = 0; block < blocks.Count; block++)
                {
                    double n = blocks.RowsOf(block);
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* m = own + block * 3L * rows.Width + copy * rows.Channels + first, sum = m + rows.Width;
                        for (int c = 0; c < channels; c++)
                            total[c] += n * m[c] + sum[c];
                    }
                }
                for (int at = 0; at < rows.Rest; at += rows.Channels)
                    for (int c = 0; c < channels; c++)
                        total[c] += rest[at + c];
                for (int c = 0; c < channels; c++)
                    total[c] /= Math.Max(1, layout.Rows);
                for (int block = 0; block < blocks.Count; block++)
                {
                    double n = blocks.RowsOf(block);
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* m = own + block * 3L * rows.Width + copy * rows.Channels + first, sum = m + rows.Width, square = sum + rows.Width;
                        for (int c = 0; c < channels; c++)
                        {
                            double shift = m[c] - total[c];
                            squares[c] += square[c] + shift * (2 * sum[c] + n * shift);
                        }
                    }
                }
                for (int at = 0; at < rows.Rest; at += rows.Channels)
                    for (int c = 0; c < channels; c++)
                        squares[c] += (rest[at + c] - total[c]) * (rest[at + c] - total[c]);
                for (int c = 0; c < channels; c++)
                {
                    toMean[c] = (float)total[c];
                    toVariance[c] = (float)Math.Max(0, squares[c] / Math.Max(1, layout.Rows));
                }
            }
        }
    }
}
