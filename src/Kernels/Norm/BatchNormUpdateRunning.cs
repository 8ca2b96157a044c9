using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// running ← (1 - momentum)·running + momentum·batch, for the mean and for the unbiased variance n/(n - 1)·variance. A cumulative
/// average is momentum = 1 / number of batches so far. One row per channel has no unbiased variance: the biased 0 is used. No rows: nothing changes.
/// n counts the rows behind the statistics, those of all ranks where they are synchronised.
/// </summary>
internal readonly unsafe record struct BatchNormUpdateRunning(
    TensorView Mean, TensorView Variance, TensorView RunningMean, TensorView RunningVariance, RowCount Count, float Momentum) : IKernel
{
    public Cost Cost => new(6.0 * Mean.Length, 6.0 * Mean.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormUpdateRunning);
        Check.Rank(Name, "mean", Mean, 1);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        Check.Shape(Name, "running mean", RunningMean, Mean.Shape);
        Check.Shape(Name, "running variance", RunningVariance, Mean.Shape);
        Count.Validate(Name);
        Check.That(Count.Known >= 0, Name, "count", "rows of the batch", Count);
        Check.That(Momentum is >= 0 and <= 1, Name, "momentum", "a share from 0 to 1", Momentum);
    }

    public void Run(CpuDevice device)
    {
        long count = Count.Value;
        if (count == 0)
            return;
        double share = Momentum, unbiased = Unbiased(count);
        for (int c = 0; c < Mean.Length; c++)
        {
            RunningMean.F32[c] = (float)((1 - share) * RunningMean.F32[c] + share * Mean.F32[c]);
            RunningVariance.F32[c] = (float)((1 - share) * RunningVariance.F32[c] + share * unbiased * Variance.F32[c]);
        }
    }

    public void Run(GpuDevice device) => device.LaunchFor(Kernel, Mean.Length, new Arguments(
        device.F32(Mean), device.F32(Variance), device.F32(RunningMean), device.F32(RunningVariance), Count.For(device), Momentum));

    internal readonly record struct Arguments(
        ArrayView<float> Mean, ArrayView<float> Variance, ArrayView<float> RunningMean, ArrayView<float> RunningVariance, RowCount.Argument Count, double Share);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex, count = a.Count.Value;
        if (c >= a.Mean.Length || count == 0)
            return;
        a.RunningMean[c] = (float)((1 - a.Share) * a.RunningMean[c] + a.Share * a.Mean[c]);
        a.RunningVariance[c] = (float)((1 - a.Share) * a.RunningVariance[c] + a.Share * Unbiased(count) * a.Variance[c]);
    }

    /// <summary>From the biased to the unbiased variance.</summary>
    private static double Unbiased(long count) => count / (double)Math.Max(1, count - 1);
}
