using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>The learning rate of every step, from the configuration.</summary>
internal static class RatePlan
{
    /// <param name="config">Rate, drops, warm-up.</param>
    /// <param name="published">Counts where the configuration names no rate.</param>
    /// <param name="stepsPerEpoch">Of the data with this batch.</param>
    /// <returns>The schedule, and its rate in words.</returns>
    /// <exception cref="DataException">A drop lies outside of the schedule.</exception>
    public static (Schedule Schedule, string Words) Of(TrainConfig config, PublishedRate published, int stepsPerEpoch)
    {
        PublishedRate? rule = config.Lr == 0 ? published : config.LrBatch > 0 ? new(config.Lr, config.LrBatch) : null;
        float rate = rule?.For(config.Batch) ?? config.Lr;
        long total = (long)config.Epochs * stepsPerEpoch, unit = config.DropUnit == DropUnit.Epoch ? stepsPerEpoch : 1;
        long[] milestones = [.. config.Drops.Select(d => (d > 0 ? 0 : total) + d * unit)];
        if (milestones is [<= 0, ..])
            throw new DataException($"configuration: drops begin {-config.Drops[0] * unit} steps before the end but the schedule has only {total}; train more epochs or choose later drops");
        double[] factors = [.. config.Drops.Select((_, i) => (double)config.DropFactors[config.DropFactors.Length == 1 ? 0 : i])];
        return (new Schedule(rate, RateDecay.Steps(milestones, factors), Warmup.Linear(config.WarmupSteps, config.WarmupRatio)),
            FormattableString.Invariant($"rate {rate:G4} for batch {config.Batch}") + (rule is { } known ? $" ({known})" : "")
            + string.Concat(milestones.Zip(factors, (step, factor) => FormattableString.Invariant($", ×{factor:G3} at step {step}"))));
    }
}
