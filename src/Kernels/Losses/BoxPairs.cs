using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>Where pairs of boxes come from and where their gradients go.</summary>
internal interface IBoxPairs
{
    /// <summary>False: the pair costs nothing and its gradient is zero.</summary>
    bool Counts(float weight);

    /// <summary>Corners of the box that the four numbers of pair i predict.</summary>
    BoxNumbers Predicted(BoxNumbers prediction, long i);

    /// <summary>Turns the gradient of the corners into that of the prediction.</summary>
    BoxNumbers Gradient(BoxNumbers corners);
}

/// <summary>Four numbers of one box: corners, or what they become a gradient of.</summary>
internal readonly record struct BoxNumbers(float X1, float Y1, float X2, float Y2);

/// <summary>
/// The loop of the GIoU losses. Boxes lie four numbers in a row, so pairs that count are gathered into lanes, computed
/// together and scattered: one predicate, no wasted arithmetic on maps that are mostly empty. Sums as in <see cref="ElementLoss{TLoss}"/>.
/// </summary>
internal readonly unsafe struct BoxPairs<TPairs>(
    TPairs pairs, TensorView prediction, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
    float factor, float offset, float epsilon) : ISimdBody
    where TPairs : unmanaged, IBoxPairs
{
    private const int Chunk = 4096;

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        long length = prediction.Length / 4;
        int chunks = (int)((length + Chunk - 1) / Chunk);
        using var sums = new ChunkSums(device, chunks, nameof(BoxPairs<TPairs>));
        device.Team.For(chunks, new Body<TVector>
        {
            Pairs = pairs,
            Prediction = prediction.F32,
            Target = target.F32,
            Weight = weight.F32,
            Elements = elements.F32,
            Gradient = gradient.F32,
            Sums = sums.Values,
            Length = length,
            Factor = factor,
            Offset = offset,
            Epsilon = epsilon,
        });
        *total.F32 = (float)(sums.Total() * factor);
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public TPairs Pairs;
        public float* Prediction, Target, Weight, Elements, Gradient;
        public double* Sums;
        public long Length;
        public float Factor, Offset, Epsilon;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            int lanes = TVector.Count;
            float* predicted = stackalloc float[4 * lanes];
            float* targets = stackalloc float[4 * lanes];
            float* weights = stackalloc float[lanes];
            long* index = stackalloc long[lanes];
            for (int chunk = start; chunk < end; chunk++)
            {
                long from = (long)chunk * Chunk, to = Math.Min(Length, from + Chunk);
                if (Gradient != null)
                    new Span<float>(Gradient + 4 * from, (int)(4 * (to - from))).Clear();
                double sum = 0;
                int filled = 0;
                for (long i = from; i < to; i++)
                {
                    float weight = Weight == null ? 1 : Weight[i];
                    if (Pairs.Counts(weight))
                    {
                        var box = Pairs.Predicted(*(BoxNumbers*)(Prediction + 4 * i), i);
                        predicted[filled] = box.X1;
                        predicted[filled + lanes] = box.Y1;
                        predicted[filled + 2 * lanes] = box.X2;
                        predicted[filled + 3 * lanes] = box.Y2;
                        for (int side = 0; side < 4; side++)
                            targets[filled + side * lanes] = Target[4 * i + side];
                        weights[filled] = weight;
                        index[filled++] = i;
                    }
                    else if (Elements != null)
                        Elements[i] = 0;
                    if (filled == lanes)
                    {
                        sum += Flush(predicted, targets, weights, index, filled);
                        filled = 0;
                    }
                }
                if (filled > 0)
                    sum += Flush(predicted, targets, weights, index, filled);
                Sums[chunk] = sum;
            }
        }

        [MethodImpl(HotLoop.Options)]
        private double Flush(float* predicted, float* targets, float* weights, long* index, int filled)
        {
            int lanes = TVector.Count;
            float* slopes = stackalloc float[4 * lanes];
            float* values = stackalloc float[lanes];
            var loss = GiouMath.Loss<TVector>(predicted, targets, lanes, Offset, Epsilon, out var g1, out var g2, out var g3, out var g4);
            var weight = TVector.Load(weights);
            TVector.Store(loss * weight, values);
            if (Gradient != null)
            {
                weight *= TVector.Create(Factor);
                TVector.Store(g1 * weight, slopes);
                TVector.Store(g2 * weight, slopes + lanes);
                TVector.Store(g3 * weight, slopes + 2 * lanes);
                TVector.Store(g4 * weight, slopes + 3 * lanes);
            }
            double sum = 0;
            for (int lane = 0; lane < filled; lane++)
            {
                sum += values[lane];
                if (Elements != null)
                    Elements[index[lane]] = values[lane];
                if (Gradient != null)
                    *(BoxNumbers*)(Gradient + 4 * index[lane]) = Pairs.Gradient(
                        new BoxNumbers(slopes[lane], slopes[lane + lanes], slopes[lane + 2 * lanes], slopes[lane + 3 * lanes]));
            }
            return sum;
        }
    }
}
