using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Per channel: sumGrad = Σg and sumGradCentred = Σg·(x - mean), where g = gradY·act'(·) is the gradient in front of the activation,
/// its derivative read from the sign of y (y may be absent without activation). The first half of the backward pass; synchronised
/// batch norm adds these sums over ranks. Everything is read once: threads over blocks of rows (<see cref="ChannelBlocks"/>), lanes over
/// channels, blocks merged in order in double.
/// </summary>
internal readonly unsafe partial record struct BatchNormReduceGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView SumGrad, TensorView SumGradCentred, Activation Activation) : IKernel
{
    public Cost Cost => new(5.0 * X.Length, X.Bytes + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes));

    public void Validate()
    {
        const string Name = nameof(BatchNormReduceGradient);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, X.Shape);
        else
            Check.Shape(Name, "y", Y, X.Shape);
        Check.Shape(Name, "gradY", GradY, X.Shape);
        var channels = new Shape(X.Shape.Channels);
        Check.Shape(Name, "mean", Mean, channels);
        Check.Shape(Name, "sumGrad", SumGrad, channels);
        Check.Shape(Name, "sumGradCentred", SumGradCentred, channels);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(X.Shape);
        var blocks = new ChannelBlocks(rows);
        using var scratch = new Scratch(device, new Shape(1 + 2 * blocks.Count, rows.Width), DType.F32, nameof(BatchNormReduceGradient));
        float* mean = scratch.F32, sums = mean + rows.Width;
        rows.Expand(Mean.AsFloats(), mean);
        float* y = Activation.Kind == ActivationKind.None ? GradY.F32 : Y.F32; // any view will do: the factor is 1
        var body = new BlockSums(X.F32, y, GradY.F32, mean, sums, blocks, Activation.Factor);
        device.For(blocks.Count, body, VectorRange.Grain(blocks.Rows * (long)rows.Width));
        var merge = new Merge(X.F32, y, GradY.F32, mean, sums, SumGrad.F32, SumGradCentred.F32, rows, blocks, Activation.Factor);
        device.Team.For(ChannelSlab.Count(rows.Channels), merge, ChannelSlab.Grain(blocks));
    }

    private readonly struct BlockSums(float* x, float* y, float* gradY, float* mean, float* sums, ChannelBlocks blocks, float factor) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int width = blocks.Width, vectors = width / TVector.Count * TVector.Count;
            for (int block = start; block < end; block++)
            {
                Columns<TVector>(block, 0, vectors);
                Columns<F32x1>(block, vectors, width);
            }
        }

        // Two rows at a time: six streams are what the prefetchers follow well.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Columns<TVector>(int block, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            int width = blocks.Width;
            float* m = mean, sum = sums + block * 2L * width, centred = sum + width;
            for (int j = from; j < to; j += TVector.Count)
            {
                TVector.Store(TVector.Zero, sum + j);
                TVector.Store(TVector.Zero, centred + j);
            }
            var negative = TVector.Create(factor);
            var (row, last) = blocks.Range(block);
            for (; row + 2 <= last; row += 2)
            {
                long offset = (long)row * width;
                float* xa = x + offset, ya = y + offset, ga = gradY + offset, xb = xa + width, yb = ya + width, gb = ga + width;
                for (int j = from; j < to; j += TVector.Count)
                {
                    var shift = TVector.Load(m + j);
                    var g = Activation.Gradient(TVector.Load(ya + j), TVector.Load(ga + j), negative);
                    var h = Activation.Gradient(TVector.Load(yb + j), TVector.Load(gb + j), negative);
                    TVector.Store(TVector.Load(sum + j) + (g + h), sum + j);
                    var product = TVector.Fma(h, TVector.Load(xb + j) - shift, g * (TVector.Load(xa + j) - shift));
                    TVector.Store(TVector.Load(centred + j) + product, centred + j);
                }
            }
            for (; row < last; row++)
            {
                long offset = (long)row * width;
                for (int j = from; j < to; j += TVector.Count)
                {
                    var g = Activation.Gradient(TVector.Load(y + offset + j), TVector.Load(gradY + offset + j), negative);
                    TVector.Store(TVector.Load(sum + j) + g, sum + j);
                    TVector.Store(TVector.Fma(g, TVector.Load(x + offset + j) - TVector.Load(m + j), TVector.Load(centred + j)), centred + j);
                }
            }
        }
    }

    /// <summary>Blocks in order, then the rows left over; a task is a slab of channels.</summary>
    private readonly struct Merge(
        float* x, float* y, float* gradY, float* mean, float* sums, float* sumGrad, float* sumGradCentred, ChannelPeriod rows, ChannelBlocks blocks,
        float factor) : IRangeBody
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Invoke(int start, int end, int worker)
        {
            double* total = stackalloc double[ChannelSlab.Size], centred = stackalloc double[ChannelSlab.Size];
            for (int slab = start; slab < end; slab++)
            {
                int first = slab * ChannelSlab.Size, channels = Math.Min(ChannelSlab.Size, rows.Channels - first);
                new Span<double>(total, channels).Clear();
                new Span<double>(centred, channels).Clear();
                for (int block = 0; block < blocks.Count; block++)
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* sum = sums + block * 2L * rows.Width + copy * rows.Channels + first, product = sum + rows.Width;
                        for (int c = 0; c < channels; c++)
                        {
                            total[c] += sum[c];
                            centred[c] += product[c];
                        }
                    }
                for (int at = 0; at < rows.Rest; at += rows.Channels)
                    for (int c = 0; c < channels; c++)
                    {
                        long i = (long)rows.Rows * rows.Width + at + first + c;
                        double g = Activation.Gradient(y[i], gradY[i], factor);
                        total[c] += g;
                        centred[c] += g * ((double)x[i] - mean[first + c]);
                    }
                for (int c = 0; c < channels; c++)
                {
                    sumGrad[first + c] = (float)total[c];
                    sumGradCentred[first + c] = (float)centred[c];
                }
            }
        }
    }
}
