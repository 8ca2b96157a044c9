using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

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
            parameters.Scale[c] = (float)(Gamma.F32[c] / Math.Sqrt(variance));
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
