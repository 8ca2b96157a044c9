using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// With g = gradY·act'(·) (sign of y) and k = γ / √(variance + ε):
/// training: gradX (+)= k·(g - sumGrad/n - (x - mean)·sumGradCentred / (n·(variance + ε))); evaluation: gradX (+)= k·g, and the sums
/// are not read. gradResidual (+)= g, when there was a residual. n counts the rows behind the statistics (of all ranks).
/// The second half of the backward pass: one pass, lanes over channels, threads over rows. gradX or gradResidual may be gradY.
/// </summary>
internal readonly unsafe record struct BatchNormInputGradient(
    TensorView X, TensorView Y, TensorView GradY, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView SumGrad,
    TensorView SumGradCentred, long Count, TensorView GradX, TensorView GradResidual, float Epsilon, Activation Activation, bool Training,
    bool Accumulate, bool AccumulateResidual = false) : IKernel
{
    private const int RowsPerThread = 16;

    public Cost Cost => new(6.0 * X.Length, (Training ? X.Bytes : 0) + GradY.Bytes + (Activation.Kind == ActivationKind.None ? 0 : Y.Bytes)
        + GradX.Bytes * (Accumulate ? 2 : 1) + GradResidual.Bytes * (AccumulateResidual ? 2 : 1));

    public void Validate()
    {
        const string Name = nameof(BatchNormInputGradient);
        Check.That(!GradX.IsNone && GradX.Type == DType.F32 && GradX.Shape.Rank >= 1, Name, "gradX", "f32 of rank 1 or more", GradX);
        Check.Shape(Name, "gradY", GradY, GradX.Shape);
        if (Activation.Kind == ActivationKind.None)
            Check.Optional(Name, "y", Y, GradX.Shape);
        else
            Check.Shape(Name, "y", Y, GradX.Shape);
        var channels = new Shape(GradX.Shape.Channels);
        Check.Shape(Name, "variance", Variance, channels);
        Check.Shape(Name, "gamma", Gamma, channels);
        if (Training)
        {
            Check.Shape(Name, "x", X, GradX.Shape);
            Check.Shape(Name, "mean", Mean, channels);
            Check.Shape(Name, "sumGrad", SumGrad, channels);
            Check.Shape(Name, "sumGradCentred", SumGradCentred, channels);
            Check.That(Count >= GradX.Shape.Rows, Name, "count", $"the {GradX.Shape.Rows} rows here and those of other ranks", Count);
        }
        Check.Optional(Name, "gradResidual", GradResidual, GradX.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "gradY", GradY, "gradX", GradX);
        Pointwise.CheckAlias(Name, "gradY", GradY, "gradResidual", GradResidual);
        Pointwise.CheckAlias(Name, "x", X, "gradX", GradX);
        Pointwise.CheckAlias(Name, "y", Y, "gradX", GradX);
        Check.Apart(Name, "gradX", GradX, "gradResidual", GradResidual);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(GradX.Shape);
        using var scratch = new Scratch(device, new Shape(4, rows.Width), DType.F32, nameof(BatchNormInputGradient));
        var parameters = new Parameters(scratch.F32, rows.Width);
        for (int c = 0; c < rows.Channels; c++)
        {
            double variance = (double)Variance.F32[c] + Epsilon;
            parameters.Scale[c] = BatchNormApply.OverDeviation(Gamma.F32[c], variance);
            if (!Training)
                continue;
            parameters.Mean[c] = Mean.F32[c];
            parameters.Offset[c] = (float)(SumGrad.F32[c] / (double)Math.Max(1, Count));
            parameters.Slope[c] = (float)(SumGradCentred.F32[c] / (Math.Max(1, Count) * variance));
        }
        for (int i = 0; i < (Training ? 4 : 1); i++)
            rows.Expand(new ReadOnlySpan<float>(scratch.F32 + i * rows.Width, rows.Channels), scratch.F32 + i * rows.Width);
        float* y = Activation.Kind == ActivationKind.None ? GradY.F32 : Y.F32; // any view will do: the factor is 1
        var body = new Rows(Training ? X.F32 : null, y, GradY.F32, GradX.F32, GradResidual.F32, parameters, rows, Activation.Factor,
            Accumulate, AccumulateResidual);
        device.For(rows.Tasks, body, VectorRange.Grain(rows.Width));
    }

    public void Run(GpuDevice device)
    {
        var grid = new ChannelGrid(GradX.Shape.Rows, GradX.Shape.Channels, RowsPerThread);
        var y = device.F32(Activation.Kind == ActivationKind.None ? GradY : Y); // any view will do: the factor is 1
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments(
            device.F32(X), y, device.F32(GradY), device.F32(Mean), device.F32(Variance), device.F32(Gamma), device.F32(SumGrad), device.F32(SumGradCentred),
            device.F32(GradX), device.F32(GradResidual), grid, Math.Max(1, Count), Epsilon, Activation.Factor, Training ? 1 : 0, Accumulate ? 1 : 0,
            GradResidual.IsNone ? 0 : 1, AccumulateResidual ? 1 : 0));
    }

    internal readonly record struct Arguments(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> GradY, ArrayView<float> Mean, ArrayView<float> Variance, ArrayView<float> Gamma,
        ArrayView<float> SumGrad, ArrayView<float> SumGradCentred, ArrayView<float> GradX, ArrayView<float> GradResidual, ChannelGrid Grid,
        double Count, float Epsilon, float Factor, int Training, int Accumulate, int HasResidual, int AccumulateResidual)
    {
        public float Before(long at) => Activation.Gradient(Y[at], GradY[at], Factor);

        public float Centred(long at, float mean) => Training != 0 ? X[at] - mean : 0;

        public void Store(long at, float result, float branch)
        {
            GradX[at] = Accumulate != 0 ? GradX[at] + result : result;
            if (HasResidual != 0)
                GradResidual[at] = AccumulateResidual != 0 ? GradResidual[at] + branch : branch;
        }
    }

    /// <summary>Two rows at a time, both read before the first is written: one row in flight per thread does not fill the memory bus.</summary>
    private static void Kernel(Arguments a)
    {
        int channel = a.Grid.Channel, row = a.Grid.FirstRow, end = a.Grid.EndRow, step = a.Grid.Step;
        if (channel >= a.Grid.Channels)
            return;
        double variance = (double)a.Variance[channel] + a.Epsilon;
        float scale = BatchNormApply.OverDeviation(a.Gamma[channel], variance), mean = 0, offset = 0, slope = 0;
        if (a.Training != 0)
        {
            mean = a.Mean[channel];
            offset = (float)(a.SumGrad[channel] / a.Count);
            slope = (float)(a.SumGradCentred[channel] / (a.Count * variance));
        }
        long at = (long)row * a.Grid.Channels + channel, stride = (long)step * a.Grid.Channels;
        for (; row + step < end; row += 2 * step, at += 2 * stride)
        {
            long second = at + stride;
            float g0 = a.Before(at), g1 = a.Before(second), d0 = a.Centred(at, mean), d1 = a.Centred(second, mean);
            a.Store(at, (g0 - (d0 * slope + offset)) * scale, g0);
            a.Store(second, (g1 - (d1 * slope + offset)) * scale, g1);
        }
        if (row < end)
        {
            float g = a.Before(at);
            a.Store(at, (g - (a.Centred(at, mean) * slope + offset)) * scale, g);
        }
    }

    /// <summary>Per lane: gradX = Scale·(g - Offset - (x - Mean)·Slope).</summary>
    private readonly struct Parameters(float* first, int width)
    {
        public float* Scale => first;

        public float* Mean => first + width;

        public float* Offset => first + 2 * width;

        public float* Slope => first + 3 * width;
    }

    private readonly struct Rows(
        float* x, float* y, float* gradY, float* gradX, float* gradResidual, Parameters parameters, ChannelPeriod rows, float factor,
        bool accumulate, bool accumulateResidual) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            for (int row = start; row < end; row++)
            {
                int width = rows.WidthOf(row), vectors = width / TVector.Count * TVector.Count;
                Columns<TVector>((long)row * rows.Width, 0, vectors);
                Columns<F32x1>((long)row * rows.Width, vectors, width);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Columns<TVector>(long offset, int from, int to) where TVector : unmanaged, ISimd<TVector>
        {
            bool training = x != null, branch = gradResidual != null, add = accumulate, addBranch = accumulateResidual;
            float* data = x + offset, output = y + offset, grad = gradY + offset, target = gradX + offset, residual = gradResidual + offset;
            float* scale = parameters.Scale, mean = parameters.Mean, constant = parameters.Offset, slope = parameters.Slope;
            var negative = TVector.Create(factor);
            for (int j = from; j < to; j += TVector.Count)
            {
                var g = Activation.Gradient(TVector.Load(output + j), TVector.Load(grad + j), negative);
                var result = g;
                if (training)
                    result -= TVector.Fma(TVector.Load(data + j) - TVector.Load(mean + j), TVector.Load(slope + j), TVector.Load(constant + j));
                result *= TVector.Load(scale + j);
                TVector.Store(add ? TVector.Load(target + j) + result : result, target + j);
                if (branch)
                    TVector.Store(addBranch ? TVector.Load(residual + j) + g : g, residual + j);
            }
        }
    }
}
