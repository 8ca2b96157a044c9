using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>One element of a loss: its value and its derivative with respect to the prediction.</summary>
internal interface IElementLoss
{
    /// <param name="x">Prediction.</param>
    /// <param name="target">What it should be.</param>
    /// <param name="column">Position within the row, for losses with a number per channel.</param>
    /// <param name="gradient">∂loss/∂x.</param>
    TVector Invoke<TVector>(TVector x, TVector target, int column, out TVector gradient) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>
/// The loop of every element-wise loss: reads prediction, target and weight once, writes element and gradient once.
///   element_i = w_i·f(x_i, t_i),   loss = factor·Σ element_i,   gradient_i = factor·w_i·f'(x_i, t_i)
/// with factor = scale / normalizer (an optional device-side count; a count of zero divides by one).
/// Chunks are fixed by the length; blocks sum in lanes, blocks and chunks combine in double, in order.
/// </summary>
internal readonly unsafe struct ElementLoss<TLoss>(
    TLoss loss, TensorView x, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
    float factor, int columns) : ISimdBody
    where TLoss : unmanaged, IElementLoss
{
    private const int ChunkLength = 16384;

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        long length = x.Length;
        // A loss with a number per channel is cut between rows only.
        int chunk = columns == 0 ? ChunkLength : Math.Max(1, ChunkLength / columns) * columns;
        int chunks = (int)((length + chunk - 1) / chunk);
        using var sums = new ChunkSums(device, chunks, nameof(ElementLoss<TLoss>));
        device.Team.For(chunks, new Body<TVector>
        {
            Loss = loss,
            X = x.F32,
            Target = target.F32,
            Weight = weight.F32,
            Elements = elements.F32,
            Gradient = gradient.F32,
            Sums = sums.Values,
            Length = length,
            Chunk = chunk,
            Columns = columns == 0 ? chunk : columns,
            Factor = factor,
        });
        *total.F32 = (float)(sums.Total() * factor);
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        private const int Block = 1024;

        public TLoss Loss;
        public float* X, Target, Weight, Elements, Gradient;
        public double* Sums;
        public long Length;
        public int Chunk, Columns;
        public float Factor;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            for (int chunk = start; chunk < end; chunk++)
            {
                long from = (long)chunk * Chunk, to = Math.Min(Length, from + Chunk);
                double sum = 0;
                for (long row = from; row < to; row += Columns)
                {
                    int columns = (int)Math.Min(Columns, to - row);
                    for (int block = 0; block < columns; block += Block)
                        sum += Range(row, block, Math.Min(columns, block + Block));
                }
                Sums[chunk] = sum;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private double Range(long row, int from, int to)
        {
            var lanes = TVector.Zero;
            int column = from;
            for (; column <= to - TVector.Count; column += TVector.Count)
                lanes += Lanes<TVector>(row, column);
            var rest = F32x1.Zero;
            for (; column < to; column++)
                rest += Lanes<F32x1>(row, column);
            return (double)TVector.Sum(lanes) + F32x1.Sum(rest);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TLanes Lanes<TLanes>(long row, int column) where TLanes : unmanaged, ISimd<TLanes>
        {
            long i = row + column;
            var value = Loss.Invoke(TLanes.Load(X + i), TLanes.Load(Target + i), column, out var slope);
            if (Weight != null)
            {
                var weight = TLanes.Load(Weight + i);
                value *= weight;
                slope *= weight;
            }
            if (Elements != null)
                TLanes.Store(value, Elements + i);
            if (Gradient != null)
                TLanes.Store(slope * TLanes.Create(Factor), Gradient + i);
            return value;
        }
    }
}
