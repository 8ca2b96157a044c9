using CudaKernels.Kernels.Devices;

namespace CudaKernels.Detection;

/// <summary>Chooses what a model's training steps recompute, and says so.</summary>
internal static class RecomputeChoice
{
    /// <summary>Share of the free memory that is planned with; the rest is for scratch of kernels and for what a pool cannot use.</summary>
    private const double Usable = 0.8;

    /// <summary>How much more than the smallest peak is as good.</summary>
    private const double Slack = 1.05;

    private static readonly string[] Stages = ["the stem", "c2", "c3", "c4", "c5"];

    /// <param name="model">Its backbone gets the segments.</param>
    /// <param name="config">Model, batch, image size and mode.</param>
    /// <param name="ranks">Share the batch. This one's device holds the weights and the optimiser's state already.</param>
    /// <returns>What was chosen and why, in a sentence.</returns>
    public static string Apply(DetectionModel model, TrainConfig config, RankGroup ranks)
    {
        if (config.Recompute == RecomputeMode.None)
            return "recomputes nothing, as asked";
        int batch = Share.Of(ranks.ShareOf(config.Batch).Count, config.Accumulate, 0).Count;
        // How many ranks are on one machine is not known; on the processor the careful guess is all.
        int sharing = ranks.Device is CpuDevice ? ranks.Size : 1;
        using var memory = StepMemory.Of(ModelCatalog.Create(config.Model, model.Info.Classes, config.Alpha), batch, config.Imgsz);
        var stored = memory.Stored();
        long free = ranks.Device.Pool.AvailableBytes / sharing;
        string need = $"a step of {batch} pictures takes about {Size(stored.PeakBytes)}", room = $"{Size(free)} are free on {ranks.Device.Name}";
        if (config.Recompute == RecomputeMode.Auto && stored.PeakBytes <= Usable * free)
            return $"recomputes nothing: {need}, {room}";
        var plans = memory.Plans().ToArray();
        double least = Slack * plans.Min(p => p.PeakBytes);
        var smallest = plans.Where(p => p.PeakBytes <= least).MinBy(p => p.ExtraWork)!;
        var fitting = config.Recompute == RecomputeMode.Stages ? smallest
            : plans.Where(p => p.PeakBytes <= Usable * free).GroupBy(p => p.Stages).FirstOrDefault()?.MinBy(p => p.PeakBytes);
        var plan = fitting ?? smallest;
        model.Backbone.Segments = plan.Segments;
        string chosen = $"recomputes {string.Join(", ", Stages.Take(plan.Stages))} in {plan.Segments.Count} segments: {need}, then about {Size(plan.PeakBytes)}";
        return config.Recompute == RecomputeMode.Stages ? chosen
            : chosen + $"; {room}" + (fitting is null ? ", which may not suffice; a smaller batch or imgsz would" : "");
    }

    private static string Size(long bytes) => FormattableString.Invariant($"{bytes / (double)(1 << 30):F2} GiB");
}
