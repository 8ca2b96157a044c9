using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// With g = gradY·act'(·) (sign of y), s = 1 / √(variance + ε) of the (image, group), and B = Σγ·sumGrad, A = Σγ·sumGradCentred over its
/// channels: gradX (+)= s·(γ·g - B/n - (x - mean)·s²·A/n), n the elements behind the statistics; without <c>training</c> gradX (+)= s·γ·g.
/// gradResidual (+)= g, when there was a residual. One pass, lanes over channels, threads over rows. gradX or gradResidual may be gradY.
/// </summary>
/// <param name="SumsHoldGamma">B and A are given, one a group; else the sums of single channels without γ, as batch norm has them.</param>
internal readonly unsafe record struct NormInputGradient(
    NormLayout Layout, TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView SumGrad,
    TensorView SumGradCentred, bool SumsHoldGamma, RowCount Count, TensorView GradX, TensorView GradResidual, float Epsilon, Activation Activation,
    bool Training, bool Accumulate, bool AccumulateResidual)
{
    private const int RowsPerThread = 16;

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(Layout.Rows, Layout.Channels);
        using var scratch = new Scratch(device, new Shape(Layout.Images, 4, rows.Width), DType.F32, nameof(NormInputGradient));
        long count = Math.Max(1, Count.Value);
        for (int image = 0; image < Layout.Images; image++)
        {
            var parameters = new Parameters(scratch.F32 + image * 4L * rows.Width, rows.Width);
            for (int c = 0; c < rows.Channels; c++)
            {
                int group = image * Layout.Groups + c / Layout.GroupChannels;
                double variance = (double)Variance.F32[group] + Epsilon;
                parameters.Scale[c] = NormApply.OverDeviation(Gamma.F32[c], variance);
                if (!Training)
                    continue;
                float factor = SumsHoldGamma ? NormApply.OverDeviation(1, variance) : parameters.Scale[c];
                parameters.Mean[c] = Mean.F32[group];
                parameters.Offset[c] = (float)(factor * SumGrad.F32[group] / count);
                parameters.Slope[c] = (float)(factor * SumGradCentred.F32[group] / (count * variance));
            }
            for (int i = 0; i < (Training ? 4 : 1); i++)
                rows.Expand(new ReadOnlySpan<float>(parameters.Scale + i * rows.Width, rows.Channels), parameters.Scale + i * rows.Width);
        }
        float* y = Activation.Kind == ActivationKind.None ? GradY.F32 : Y.F32; // any view will do: the factor is 1
        var body = new Rows(Training ? X.F32 : null, y, GradY.F32, GradX.F32, GradResidual.F32, scratch.F32, Layout.ImageLength, rows, Activation.Factor,
            Accumulate, AccumulateResidual, PastCache.Suits(GradX));
        device.For(checked(Layout.Images * rows.Tasks), body, VectorRange.Grain(rows.Width));
    }

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(Layout.Channels, X, Y, GradY, Gamma, GradX, GradResidual)
            && PerGroup<F32x1>.ByFour(Layout, Mean, Variance, SumGrad, SumGradCentred))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = new ImageGrid(Layout.InLanes(T.Count), RowsPerThread);
        var y = Activation.Kind == ActivationKind.None ? GradY : Y; // any view will do: the factor is 1
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, X), GpuLanes.Of<T>(device, y), GpuLanes.Of<T>(device, GradY), PerGroup<T>.Of(device, Layout, Mean),
            PerGroup<T>.Of(device, Layout, Variance), GpuLanes.Of<T>(device, Gamma), PerGroup<T>.Of(device, Layout, SumGrad),
            PerGroup<T>.Of(device, Layout, SumGradCentred), GpuLanes.Of<T>(device, GradX), GpuLanes.Of<T>(device, GradResidual), grid,
            Count.For(device), Epsilon, Activation.Factor, SumsHoldGamma ? 1 : 0, Training ? 1 : 0, Accumulate ? 1 : 0,
            GradResidual.IsNone ? 0 : 1, AccumulateResidual ? 1 : 0));
    }

    internal readonly record struct Arguments<T>(
        ArrayView<T> X, ArrayView<T> Y, ArrayView<T> GradY, PerGroup<T> Mean, PerGroup<T> Variance, ArrayView<T> Gamma, PerGroup<T> SumGrad,
        PerGroup<T> SumGradCentred, ArrayView<T> GradX, ArrayView<T> GradResidual, ImageGrid Grid, RowCount.Argument Count, float Epsilon, float Factor,
        int SumsHoldGamma, int Training, int Accumulate, int HasResidual, int AccumulateResidual) where T : unmanaged, ISimd<T>
    {
        public T Before(long at) => Activation.Gradient(Y[at], GradY[at], T.Create(Factor));

        public T Centred(long at, T mean) => Training != 0 ? X[at] - mean : T.Zero;

        public void Store(long at, T result, T branch)
        {
            GradX[at] = Accumulate != 0 ? GradX[at] + result : result;
            if (HasResidual != 0)
                GradResidual[at] = AccumulateResidual != 0 ? GradResidual[at] + branch : branch;
        }
    }

    /// <summary>Two rows at a time, both read before the first is written: one row in flight per thread does not fill the memory bus.</summary>
    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, row = a.Grid.FirstRow, end = a.Grid.EndRow, step = a.Grid.One.Step;
        if (channel >= a.Grid.Layout.Channels)
            return;
        long group = a.Grid.OfGroup;
        T variance = a.Variance[group] + T.Create(a.Epsilon), deviation = T.Sqrt(variance), scale = a.Gamma[channel] / deviation;
        T mean = T.Zero, offset = T.Zero, slope = T.Zero;
        if (a.Training != 0)
        {
            var factor = T.Create(1f / Math.Max(1, a.Count.Value)) * (a.SumsHoldGamma != 0 ? T.Create(1) / deviation : scale);
            mean = a.Mean[group];
            offset = factor * a.SumGrad[group];
            slope = factor * a.SumGradCentred[group] / variance;
        }
        long at = a.Grid.At(row), stride = a.Grid.Stride;
        for (; row + step < end; row += 2 * step, at += 2 * stride)
        {
            long second = at + stride;
            T g0 = a.Before(at), g1 = a.Before(second), d0 = a.Centred(at, mean), d1 = a.Centred(second, mean);
            a.Store(at, g0 * scale - (d0 * slope + offset), g0);
            a.Store(second, g1 * scale - (d1 * slope + offset), g1);
        }
        if (row < end)
        {
            var g = a.Before(at);
            a.Store(at, g * scale - (a.Centred(at, mean) * slope + offset), g);
        }
    }

    /// <summary>Per lane: gradX = Scale·g - Offset - (x - Mean)·Slope.</summary>
    private readonly struct Parameters(float* first, int width)
    {
        public float* Scale => first;

        public float* Mean => first + width;

        public float* Offset => first + 2 * width;

        public float* Slope => first + 3 * width;
    }

    private readonly struct Rows(
        float* x, float* y, float* gradY, float* gradX, float* gradResidual, float* parameters, long imageLength, ChannelPeriod rows,
        float factor, bool accumulate, bool accumulateResidual, bool pastCache) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            for (int task = start; task < end; task++)
            {
                int image = task / rows.Tasks, row = task - image * rows.Tasks, width = rows.WidthOf(row), vectors = width / TVector.Count * TVector.Count;
                var own = new Parameters(parameters + image * 4L * rows.Width, rows.Width);
                long offset = image * imageLength + (long)row * rows.Width;
                Columns<TVector>(offset, own, 0, vectors);
                Columns<F32x1>(offset, own, vectors, width);
            }
        }

        private void Columns<TVector>(long offset, Parameters own, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            if (x != null && gradResidual == null && !accumulate)
                InputOnly<TVector>(offset, own, from, to);
            else
                General<TVector>(offset, own, from, to);
        }

        /// <summary>What a training step asks for nearly everywhere, without a question in the loop that the general form has to ask.</summary>
        [MethodImpl(HotLoop.Options)]
        private void InputOnly<TVector>(long offset, Parameters own, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            float* data = x + offset, output = y + offset, grad = gradY + offset, target = gradX + offset;
            float* scale = own.Scale, mean = own.Mean, constant = own.Offset, slope = own.Slope;
            bool stream = pastCache && target != grad && PastCache.Aligned<TVector>(target + from);
            if (factor == 1)
            {
                for (int j = from; j < to; j += TVector.Count)
                    PastCache.Store(TVector.Load(grad + j) * TVector.Load(scale + j)
                        - TVector.Fma(TVector.Load(data + j) - TVector.Load(mean + j), TVector.Load(slope + j), TVector.Load(constant + j)), target + j, stream);
                return;
            }
            var negative = TVector.Create(factor);
            for (int j = from; j < to; j += TVector.Count)
                PastCache.Store(Activation.Gradient(TVector.Load(output + j), TVector.Load(grad + j), negative) * TVector.Load(scale + j)
                    - TVector.Fma(TVector.Load(data + j) - TVector.Load(mean + j), TVector.Load(slope + j), TVector.Load(constant + j)), target + j, stream);
        }

        [MethodImpl(HotLoop.Options)]
        private void General<TVector>(long offset, Parameters own, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            bool training = x != null, branch = gradResidual != null, add = accumulate, addBranch = accumulateResidual;
            float* data = x + offset, output = y + offset, grad = gradY + offset, target = gradX + offset, residual = gradResidual + offset;
            float* scale = own.Scale, mean = own.Mean, constant = own.Offset, slope = own.Slope;
            var negative = TVector.Create(factor);
            bool stream = pastCache && !add && target != grad && PastCache.Aligned<TVector>(target + from);
            for (int j = from; j < to; j += TVector.Count)
            {
                var g = Activation.Gradient(TVector.Load(output + j), TVector.Load(grad + j), negative);
                var result = g * TVector.Load(scale + j);
                if (training)
                    result -= TVector.Fma(TVector.Load(data + j) - TVector.Load(mean + j), TVector.Load(slope + j), TVector.Load(constant + j));
                if (stream)
                    TVector.Stream(result, target + j);
                else
                    TVector.Store(add ? TVector.Load(target + j) + result : result, target + j);
                if (branch)
                    TVector.Store(addBranch ? TVector.Load(residual + j) + g : g, residual + j);
            }
        }
    }
}
