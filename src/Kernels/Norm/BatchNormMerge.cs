using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Batch statistics of all ranks from their <see cref="BatchNormPart"/>s (R, 2C + 2): mean, biased variance, and the rows of all ranks as a
/// <see cref="RowCount"/>. Parts with rows are joined in rank order in double (Chan, Golub, LeVeque 1979): with n rows so far and m more,
///   δ = mean_m - mean,  mean += δ·m/(n + m),  squares += squares_m + δ²·n·m/(n + m),  variance = squares / n at the end.
/// Ranks may have different numbers of rows; one without is left out. No rows at all: all 0. One thread per channel.
/// </summary>
internal readonly unsafe record struct BatchNormMerge(TensorView Parts, TensorView Mean, TensorView Variance, TensorView Rows) : IKernel
{
    public Cost Cost => new(5.0 * Parts.Length, Parts.Bytes + Mean.Bytes + Variance.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormMerge);
        Check.Rank(Name, "mean", Mean, 1);
        Check.That(Mean.Length >= 1, Name, "mean", "channels", Mean);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        Check.Rank(Name, "parts", Parts, 2);
        Check.Shape(Name, "parts", Parts, new Shape(Parts.Shape[0], BatchNormPart.Length(Mean.Shape[0])));
        Check.Shape(Name, "rows", Rows, new Shape(RowCount.Length));
        Check.Apart(Name, "parts", Parts, "mean", Mean);
        Check.Apart(Name, "parts", Parts, "variance", Variance);
        Check.Apart(Name, "parts", Parts, "rows", Rows);
    }

    public void Run(CpuDevice device)
    {
        int channels = Mean.Shape[0];
        var all = default(Moments);
        for (int c = 0; c < channels; c++)
        {
            float* part = Parts.F32;
            all = default;
            for (int rank = 0; rank < Parts.Shape[0]; rank++, part += BatchNormPart.Length(channels))
                all = all.With(RowCount.Join(part[2 * channels], part[2 * channels + 1]), part[c], part[channels + c]);
            (Mean.F32[c], Variance.F32[c]) = ((float)all.Mean, (float)all.Variance);
        }
        (Rows.F32[0], Rows.F32[1]) = RowCount.Split(all.Rows);
    }

    public void Run(GpuDevice device) => device.LaunchFor(Kernel, Mean.Length,
        new Arguments(device.F32(Parts), device.F32(Mean), device.F32(Variance), device.F32(Rows), Parts.Shape[0], Mean.Shape[0]));

    internal readonly record struct Arguments(
        ArrayView<float> Parts, ArrayView<float> Mean, ArrayView<float> Variance, ArrayView<float> Rows, int Ranks, int Channels);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex, part = 0;
        if (c >= a.Channels)
            return;
        var all = default(Moments);
        for (int rank = 0; rank < a.Ranks; rank++)
        {
            long rows = part + 2 * a.Channels;
            all = all.With(RowCount.Join(a.Parts[rows], a.Parts[rows + 1]), a.Parts[part + c], a.Parts[part + a.Channels + c]);
            part = rows + RowCount.Length;
        }
        a.Mean[c] = (float)all.Mean;
        a.Variance[c] = (float)all.Variance;
        if (c > 0)
            return;
        var (high, low) = RowCount.Split(all.Rows);
        a.Rows[0] = high;
        a.Rows[1] = low;
    }

    /// <summary>Rows, their mean and their centred square sum.</summary>
    internal readonly record struct Moments(long Rows, double Mean, double Squares)
    {
        public double Variance => Squares / Math.Max(1, Rows);

        public Moments With(long rows, double mean, double squares)
        {
            if (rows == 0)
                return this;
            long total = Rows + rows;
            double distance = mean - Mean, share = rows / (double)total;
            return new(total, Mean + distance * share, Squares + squares + distance * distance * (Rows * share));
        }
    }
}
