using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Per channel over all rows: mean = Σx / n, variance = Σ(x - mean)² / n (biased). No rows: both 0.
/// <para>
/// E[x²] - mean² cancels when the mean is large, and two passes over the data cost twice the memory traffic. So the rows are cut
/// into blocks that stay in the second-level cache: pass 1 finds the block's mean m to float accuracy, pass 2 sums d = x - m and
/// d², whose cancellation is harmless. Blocks merge in double with the shift δ = m - mean:
/// mean = Σ(n_b·m + Σd) / n and n·variance = Σ(Σd² + 2δ·Σd + n_b·δ²) (Chan, Golub, LeVeque 1979).
/// </para>
/// Threads over blocks, lanes over channels (<see cref="ChannelPeriod"/>); the blocks depend on the shape alone. The data is read once.
/// </summary>
internal readonly unsafe partial record struct BatchNormStatistics(TensorView X, TensorView Mean, TensorView Variance) : IKernel
{
    public Cost Cost => new(6.0 * X.Length, X.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormStatistics);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        Check.Shape(Name, "mean", Mean, new Shape(X.Shape.Channels));
        Check.Shape(Name, "variance", Variance, new Shape(X.Shape.Channels));
    }

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(X.Shape);
        var blocks = new ChannelBlocks(rows);
        using var sums = new Scratch(device, new Shape(blocks.Count, 3, rows.Width), DType.F32, nameof(BatchNormStatistics));
        device.For(blocks.Count, new BlockSums(X.F32, sums.F32, blocks), VectorRange.Grain(blocks.Rows * (long)rows.Width));
        var merge = new Merge(X.F32, sums.F32, Mean.F32, Variance.F32, X.Shape.Rows, rows, blocks);
        device.Team.For(ChannelSlab.Count(rows.Channels), merge, ChannelSlab.Grain(blocks));
    }

    /// <summary>For its block and each lane: mean m, Σd, Σd².</summary>
    private readonly struct BlockSums(float* x, float* sums, ChannelBlocks blocks) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int width = blocks.Width, vectors = width / TVector.Count * TVector.Count;
            for (int block = start; block < end; block++)
            {
                var (first, last) = blocks.Range(block);
                float* data = x + (long)first * width, to = sums + block * 3L * width;
                Mean<TVector>(data, to, last - first, width, 0, vectors);
                Mean<F32x1>(data, to, last - first, width, vectors, width);
                Centred<TVector>(data, to, last - first, width, 0, vectors);
                Centred<F32x1>(data, to, last - first, width, vectors, width);
            }
        }

        // Four rows at a time: one load and store of the running sums for four loads of data.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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

    /// <summary>Blocks in order, then the rows left over, in double; a task is a slab of channels.</summary>
    private readonly struct Merge(float* x, float* sums, float* mean, float* variance, long count, ChannelPeriod rows, ChannelBlocks blocks)
        : IRangeBody
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Invoke(int start, int end, int worker)
        {
            double* total = stackalloc double[ChannelSlab.Size], squares = stackalloc double[ChannelSlab.Size];
            for (int slab = start; slab < end; slab++)
            {
                int first = slab * ChannelSlab.Size, channels = Math.Min(ChannelSlab.Size, rows.Channels - first);
                new Span<double>(total, channels).Clear();
                new Span<double>(squares, channels).Clear();
                float* rest = x + (long)rows.Rows * rows.Width + first;
                for (int block = 0; block < blocks.Count; block++)
                {
                    double n = blocks.RowsOf(block);
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* m = sums + block * 3L * rows.Width + copy * rows.Channels + first, sum = m + rows.Width;
                        for (int c = 0; c < channels; c++)
                            total[c] += n * m[c] + sum[c];
                    }
                }
                for (int at = 0; at < rows.Rest; at += rows.Channels)
                    for (int c = 0; c < channels; c++)
                        total[c] += rest[at + c];
                for (int c = 0; c < channels; c++)
                    total[c] /= Math.Max(1, count);
                for (int block = 0; block < blocks.Count; block++)
                {
                    double n = blocks.RowsOf(block);
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* m = sums + block * 3L * rows.Width + copy * rows.Channels + first, sum = m + rows.Width, square = sum + rows.Width;
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
                    mean[first + c] = (float)total[c];
                    variance[first + c] = (float)Math.Max(0, squares[c] / Math.Max(1, count));
                }
            }
        }
    }
}
