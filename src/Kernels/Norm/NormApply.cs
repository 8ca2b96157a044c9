using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// y = act(γ·(x - mean) / √(variance + ε) + β (+ residual)) with the mean and variance of each (image, group) and γ, β of each channel.
/// The mean is subtracted first: folded into one multiply-add, a large mean would cancel. One pass; lanes over channels
/// (<see cref="ChannelPeriod"/>), threads over rows. y may be x or the residual.
/// </summary>
internal readonly unsafe record struct NormApply(
    NormLayout Layout, TensorView X, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView Beta, TensorView Residual, TensorView Y,
    float Epsilon, Activation Activation)
{
    private const int RowsPerThread = 16;

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(Layout.Rows, Layout.Channels);
        using var scratch = new Scratch(device, new Shape(Layout.Images, 3, rows.Width), DType.F32, nameof(NormApply));
        for (int image = 0; image < Layout.Images; image++)
        {
            float* mean = scratch.F32 + image * 3L * rows.Width, scale = mean + rows.Width, beta = scale + rows.Width;
            for (int c = 0; c < rows.Channels; c++)
            {
                int group = image * Layout.Groups + c / Layout.GroupChannels;
                mean[c] = Mean.F32[group];
                scale[c] = OverDeviation(Gamma.F32[c], (double)Variance.F32[group] + Epsilon);
            }
            rows.Expand(new ReadOnlySpan<float>(mean, rows.Channels), mean);
            rows.Expand(new ReadOnlySpan<float>(scale, rows.Channels), scale);
            rows.Expand(Beta.AsFloats(), beta);
        }
        var body = new Rows(X.F32, Residual.F32, Y.F32, scratch.F32, Layout.ImageLength, rows, Activation.Factor, PastCache.Suits(Y));
        device.For(checked(Layout.Images * rows.Tasks), body, VectorRange.Grain(rows.Width));
    }

    /// <summary>number / √variance, rounded once.</summary>
    public static float OverDeviation(float number, double variance) => (float)(number / Math.Sqrt(variance));

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(Layout.Channels, X, Gamma, Beta, Residual, Y) && PerGroup<F32x1>.ByFour(Layout, Mean, Variance))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = new ImageGrid(Layout.InLanes(T.Count), RowsPerThread);
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, X), PerGroup<T>.Of(device, Layout, Mean), PerGroup<T>.Of(device, Layout, Variance), GpuLanes.Of<T>(device, Gamma),
            GpuLanes.Of<T>(device, Beta), GpuLanes.Of<T>(device, Residual), GpuLanes.Of<T>(device, Y), grid, Epsilon, Activation.Factor, Residual.IsNone ? 0 : 1));
    }

    internal readonly record struct Arguments<T>(
        ArrayView<T> X, PerGroup<T> Mean, PerGroup<T> Variance, ArrayView<T> Gamma, ArrayView<T> Beta, ArrayView<T> Residual,
        ArrayView<T> Y, ImageGrid Grid, float Epsilon, float Factor, int HasResidual) where T : unmanaged, ISimd<T>
    {
        /// <summary>What is added after the normalisation.</summary>
        public T Branch(long at) => HasResidual != 0 ? Residual[at] : T.Zero;
    }

    /// <summary>Four rows at a time, all read before the first is written: one load in flight per thread does not fill the memory bus.</summary>
    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, row = a.Grid.FirstRow, end = a.Grid.EndRow, step = a.Grid.One.Step;
        if (channel >= a.Grid.Layout.Channels)
            return;
        long group = a.Grid.OfGroup;
        T mean = a.Mean[group], scale = a.Gamma[channel] / T.Sqrt(a.Variance[group] + T.Create(a.Epsilon)), beta = a.Beta[channel], factor = T.Create(a.Factor);
        long at = a.Grid.At(row), stride = a.Grid.Stride;
        for (; row + 3 * step < end; row += 4 * step, at += 4 * stride)
        {
            long second = at + stride, third = second + stride, fourth = third + stride;
            T x0 = a.X[at], x1 = a.X[second], x2 = a.X[third], x3 = a.X[fourth];
            T r0 = a.Branch(at), r1 = a.Branch(second), r2 = a.Branch(third), r3 = a.Branch(fourth);
            a.Y[at] = Activation.Apply((x0 - mean) * scale + beta + r0, factor);
            a.Y[second] = Activation.Apply((x1 - mean) * scale + beta + r1, factor);
            a.Y[third] = Activation.Apply((x2 - mean) * scale + beta + r2, factor);
            a.Y[fourth] = Activation.Apply((x3 - mean) * scale + beta + r3, factor);
        }
        for (; row < end; row += step, at += stride)
            a.Y[at] = Activation.Apply((a.X[at] - mean) * scale + beta + a.Branch(at), factor);
    }

    /// <summary>Parameters of an image: mean, scale, β of each lane.</summary>
    private readonly struct Rows(
        float* x, float* residual, float* y, float* parameters, long imageLength, ChannelPeriod rows, float factor, bool pastCache) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            for (int task = start; task < end; task++)
            {
                int image = task / rows.Tasks, row = task - image * rows.Tasks, width = rows.WidthOf(row), vectors = width / TVector.Count * TVector.Count;
                float* own = parameters + image * 3L * rows.Width;
                long offset = image * imageLength + (long)row * rows.Width;
                Columns<TVector>(offset, own, 0, vectors);
                Columns<F32x1>(offset, own, vectors, width);
            }
        }

        [MethodImpl(HotLoop.Options)]
        private void Columns<TVector>(long offset, float* m, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            float* source = x + offset, target = y + offset, other = residual, s = m + rows.Width, b = s + rows.Width;
            var negative = TVector.Create(factor);
            bool stream = pastCache && target != source && PastCache.Aligned<TVector>(target + from);
            if (other == null)
            {
                for (int j = from; j < to; j += TVector.Count)
                {
                    var value = TVector.Fma(TVector.Load(source + j) - TVector.Load(m + j), TVector.Load(s + j), TVector.Load(b + j));
                    PastCache.Store(Activation.Apply(value, negative), target + j, stream);
                }
                return;
            }
            other += offset;
            for (int j = from; j < to; j += TVector.Count)
            {
                var value = TVector.Fma(TVector.Load(source + j) - TVector.Load(m + j), TVector.Load(s + j), TVector.Load(b + j));
                PastCache.Store(Activation.Apply(value + TVector.Load(other + j), negative), target + j, stream);
            }
        }
    }
}
