using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// running ← (1 - momentum)·running + momentum·batch, for the mean and for the unbiased variance n/(n - 1)·variance. A cumulative
/// average is momentum = 1 / number of batches so far. One row per channel has no unbiased variance: the biased 0 is used. No rows: nothing changes.
/// </summary>
internal readonly unsafe record struct BatchNormUpdateRunning(
    TensorView Mean, TensorView Variance, TensorView RunningMean, TensorView RunningVariance, long Count, float Momentum) : IKernel
{
    public Cost Cost => new(6.0 * Mean.Length, 6.0 * Mean.Bytes);

    public void Validate()
    {
        const string Name = nameof(BatchNormUpdateRunning);
        Check.Rank(Name, "mean", Mean, 1);
        Check.Shape(Name, "variance", Variance, Mean.Shape);
        Check.Shape(Name, "running mean", RunningMean, Mean.Shape);
        Check.Shape(Name, "running variance", RunningVariance, Mean.Shape);
        Check.That(Count >= 0, Name, "count", "rows of the batch", Count);
        Check.That(Momentum is >= 0 and <= 1, Name, "momentum", "a share from 0 to 1", Momentum);
    }

    public void Run(CpuDevice device)
    {
        if (Count == 0)
            return;
        double share = Momentum, unbiased = Count / (double)Math.Max(1, Count - 1);
        for (int c = 0; c < Mean.Length; c++)
        {
            RunningMean.F32[c] = (float)((1 - share) * RunningMean.F32[c] + share * Mean.F32[c]);
            RunningVariance.F32[c] = (float)((1 - share) * RunningVariance.F32[c] + share * unbiased * Variance.F32[c]);
        }
    }

    public void Run(GpuDevice device)
    {
        if (Count == 0)
            return;
        double unbiased = Count / (double)Math.Max(1, Count - 1);
        device.LaunchFor(Kernel, Mean.Length, new Arguments(
            device.F32(Mean), device.F32(Variance), device.F32(RunningMean), device.F32(RunningVariance), Momentum, Momentum * unbiased));
    }

    internal readonly record struct Arguments(
        ArrayView<float> Mean, ArrayView<float> Variance, ArrayView<float> RunningMean, ArrayView<float> RunningVariance, double Share, double UnbiasedShare);

    private static void Kernel(Arguments a)
    {
        long c = Grid.GlobalLinearIndex;
        if (c >= a.Mean.Length)
            return;
        a.RunningMean[c] = (float)((1 - a.Share) * a.RunningMean[c] + a.Share * a.Mean[c]);
        a.RunningVariance[c] = (float)((1 - a.Share) * a.RunningVariance[c] + a.UnbiasedShare * a.Variance[c]);
    }
}
