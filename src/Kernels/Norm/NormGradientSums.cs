using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Per (image, channel): sumGrad = Σg and sumGradCentred = Σg·(x - mean) with the mean of its group, where g = gradY·act'(·) is the
/// gradient in front of the activation, its derivative read from the sign of y (y may be absent without activation). Everything is
/// read once: threads over blocks of rows (<see cref="ChannelBlocks"/>), lanes over channels, blocks merged in order in double.
/// </summary>
internal readonly unsafe partial record struct NormGradientSums(
    NormLayout Layout, TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView SumGrad, TensorView SumGradCentred, Activation Activation)
{
    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(Layout.Rows, Layout.Channels);
        var blocks = new ChannelBlocks(rows);
        int images = Layout.Images;
        using var scratch = new Scratch(device, new Shape(checked(images * (1 + 2 * blocks.Count)), rows.Width), DType.F32, nameof(NormGradientSums));
        float* mean = scratch.F32, sums = mean + (long)images * rows.Width;
        for (int image = 0; image < images; image++)
        {
            float* to = mean + (long)image * rows.Width;
            for (int c = 0; c < rows.Channels; c++)
                to[c] = Mean.F32[image * Layout.Groups + c / Layout.GroupChannels];
            rows.Expand(new ReadOnlySpan<float>(to, rows.Channels), to);
        }
        float* y = Activation.Kind == ActivationKind.None ? GradY.F32 : Y.F32; // any view will do: the factor is 1
        var body = new BlockSums(X.F32, y, GradY.F32, mean, sums, Layout.ImageLength, blocks, Activation.Factor);
        device.For(images * blocks.Count, body, VectorRange.Grain(blocks.Rows * (long)rows.Width));
        var merge = new Merge(X.F32, y, GradY.F32, mean, sums, SumGrad.F32, SumGradCentred.F32, Layout.ImageLength, rows, blocks, Activation.Factor);
        device.Team.For(images * ChannelSlab.Count(rows.Channels), merge, ChannelSlab.Grain(blocks));
    }

    private readonly struct BlockSums(
        float* x, float* y, float* gradY, float* mean, float* sums, long imageLength, ChannelBlocks blocks, float factor) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int width = blocks.Width, vectors = width / TVector.Count * TVector.Count;
            for (int task = start; task < end; task++)
            {
                Columns<TVector>(task, 0, vectors);
                Columns<F32x1>(task, vectors, width);
            }
        }

        [MethodImpl(HotLoop.Options)]
        private void Columns<TVector>(int task, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            int width = blocks.Width, image = task / blocks.Count;
            float* m = mean + (long)image * width, sum = sums + task * 2L * width, centred = sum + width;
            for (int j = from; j < to; j += TVector.Count)
            {
                TVector.Store(TVector.Zero, sum + j);
                TVector.Store(TVector.Zero, centred + j);
            }
            var negative = TVector.Create(factor);
            var (row, last) = blocks.Range(task - image * blocks.Count);
            long start = image * imageLength;
            // Without activation four rows at a time: one load and store of the running sums for all of them.
            for (; factor == 1 && row + 4 <= last; row += 4)
            {
                long offset = start + (long)row * width;
                float* xa = x + offset, ga = gradY + offset, xb = xa + width, gb = ga + width, xc = xb + width, gc = gb + width, xd = xc + width, gd = gc + width;
                for (int j = from; j < to; j += TVector.Count)
                {
                    var shift = TVector.Load(m + j);
                    TVector g = TVector.Load(ga + j), h = TVector.Load(gb + j), k = TVector.Load(gc + j), l = TVector.Load(gd + j);
                    TVector.Store(TVector.Load(sum + j) + ((g + h) + (k + l)), sum + j);
                    var product = TVector.Fma(h, TVector.Load(xb + j) - shift, g * (TVector.Load(xa + j) - shift))
                        + TVector.Fma(l, TVector.Load(xd + j) - shift, k * (TVector.Load(xc + j) - shift));
                    TVector.Store(TVector.Load(centred + j) + product, centred + j);
                }
            }
            // With one two at a time: six streams are what the prefetchers follow well.
            for (; row + 2 <= last; row += 2)
            {
                long offset = start + (long)row * width;
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
                long offset = start + (long)row * width;
                for (int j = from; j < to; j += TVector.Count)
                {
                    var g = Activation.Gradient(TVector.Load(y + offset + j), TVector.Load(gradY + offset + j), negative);
                    TVector.Store(TVector.Load(sum + j) + g, sum + j);
                    TVector.Store(TVector.Fma(g, TVector.Load(x + offset + j) - TVector.Load(m + j), TVector.Load(centred + j)), centred + j);
                }
            }
        }
    }

    /// <summary>Blocks in order, then the rows left over; a task is a slab of an image's channels.</summary>
    private readonly struct Merge(
        float* x, float* y, float* gradY, float* mean, float* sums, float* sumGrad, float* sumGradCentred, long imageLength,
        ChannelPeriod rows, ChannelBlocks blocks, float factor) : IRangeBody
    {
        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            double* total = stackalloc double[ChannelSlab.Size], centred = stackalloc double[ChannelSlab.Size];
            int slabs = ChannelSlab.Count(rows.Channels);
            for (int task = start; task < end; task++)
            {
                int image = task / slabs, first = task % slabs * ChannelSlab.Size, channels = Math.Min(ChannelSlab.Size, rows.Channels - first);
                float* own = sums + image * 2L * blocks.Count * rows.Width, m = mean + (long)image * rows.Width + first;
                long to = (long)image * rows.Channels + first;
                new Span<double>(total, channels).Clear();
                new Span<double>(centred, channels).Clear();
                for (int block = 0; block < blocks.Count; block++)
                    for (int copy = 0; copy < rows.Repeat; copy++)
                    {
                        float* sum = own + block * 2L * rows.Width + copy * rows.Channels + first, product = sum + rows.Width;
                        for (int c = 0; c < channels; c++)
                        {
                            total[c] += sum[c];
                            centred[c] += product[c];
                        }
                    }
                for (int at = 0; at < rows.Rest; at += rows.Channels)
                    for (int c = 0; c < channels; c++)
                    {
                        long i = image * imageLength + (long)rows.Rows * rows.Width + at + first + c;
                        double g = Activation.Gradient(y[i], gradY[i], factor);
                        total[c] += g;
                        centred[c] += g * ((double)x[i] - m[c]);
                    }
                for (int c = 0; c < channels; c++)
                {
                    sumGrad[to + c] = (float)total[c];
                    sumGradCentred[to + c] = (float)centred[c];
                }
            }
        }
    }
}
