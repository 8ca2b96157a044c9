using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// y = act(γ·(x - mean) / √(variance + ε) + β (+ residual)), with batch statistics in training and running ones in evaluation.
/// The mean is subtracted first: folded into one multiply-add, a large mean would cancel. One pass; lanes over channels
/// (<see cref="ChannelPeriod"/>), threads over rows. y may be x or the residual.
/// </summary>
internal readonly unsafe record struct BatchNormApply(
    TensorView X, TensorView Mean, TensorView Variance, TensorView Gamma, TensorView Beta, TensorView Residual, TensorView Y,
    float Epsilon, Activation Activation) : IKernel
{
    public Cost Cost => new((Residual.IsNone ? 4.0 : 5.0) * X.Length, X.Bytes + Y.Bytes + Residual.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormApply);
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Rank >= 1, Name, "x", "f32 of rank 1 or more", X);
        var channels = new Shape(X.Shape.Channels);
        Check.Shape(Name, "mean", Mean, channels);
        Check.Shape(Name, "variance", Variance, channels);
        Check.Shape(Name, "gamma", Gamma, channels);
        Check.Shape(Name, "beta", Beta, channels);
        Check.Optional(Name, "residual", Residual, X.Shape);
        Check.Shape(Name, "y", Y, X.Shape);
        Check.That(Epsilon >= 0, Name, "epsilon", "a number ≥ 0", Epsilon);
        Pointwise.CheckAlias(Name, "x", X, "y", Y);
        Pointwise.CheckAlias(Name, "residual", Residual, "y", Y);
        Activation.Validate(Name);
    }

    public void Run(CpuDevice device)
    {
        var rows = new ChannelPeriod(X.Shape);
        using var parameters = new Scratch(device, new Shape(3, rows.Width), DType.F32, nameof(BatchNormApply));
        float* mean = parameters.F32, scale = mean + rows.Width, beta = scale + rows.Width;
        for (int c = 0; c < rows.Channels; c++)
            scale[c] = (float)(Gamma.F32[c] / Math.Sqrt((double)Variance.F32[c] + Epsilon));
        rows.Expand(Mean.AsFloats(), mean);
        rows.Expand(new ReadOnlySpan<float>(scale, rows.Channels), scale);
        rows.Expand(Beta.AsFloats(), beta);
        var body = new Rows(X.F32, Residual.F32, Y.F32, mean, scale, beta, rows, Activation.Factor);
        device.For(rows.Tasks, body, VectorRange.Grain(rows.Width));
    }

    private readonly struct Rows(float* x, float* residual, float* y, float* mean, float* scale, float* beta, ChannelPeriod rows, float factor)
        : IVectorRange
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
            float* source = x + offset, target = y + offset, other = residual, m = mean, s = scale, b = beta;
            var negative = TVector.Create(factor);
            if (other == null)
            {
                for (int j = from; j < to; j += TVector.Count)
                {
                    var value = TVector.Fma(TVector.Load(source + j) - TVector.Load(m + j), TVector.Load(s + j), TVector.Load(b + j));
                    TVector.Store(Activation.Apply(value, negative), target + j);
                }
                return;
            }
            other += offset;
            for (int j = from; j < to; j += TVector.Count)
            {
                var value = TVector.Fma(TVector.Load(source + j) - TVector.Load(m + j), TVector.Load(s + j), TVector.Load(b + j));
                TVector.Store(Activation.Apply(value + TVector.Load(other + j), negative), target + j);
            }
        }
    }
}
