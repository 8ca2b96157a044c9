namespace CudaKernels.Detection;

internal enum OverlapKind
{
    Box,
    Mask,
}

/// Areas from Low to High, both included.
internal readonly record struct AreaRange(string Label, double Low, double High)
{
    public bool Contains(double area) => area >= Low && area <= High;
}

/// What a COCO evaluation measures; the defaults are the official ones.
internal sealed record EvalParameters
{
    public OverlapKind Kind { get; init; } = OverlapKind.Box;

    /// 0.5 + i*((0.95-0.5)/9) in doubles: the ninth is 0.8999999999999999, and detections exactly there depend on it.
    public IReadOnlyList<double> IouThresholds { get; init; } = [.. Enumerable.Range(0, 10).Select(i => 0.5 + i * ((0.95 - 0.5) / 9))];

    /// j*0.01 in doubles, not j/100: the last bit decides whether a recall of exactly 0.35 reaches point 35 (it does not).
    public IReadOnlyList<double> RecallPoints { get; init; } = [.. Enumerable.Range(0, 101).Select(j => j * 0.01)];

    /// How many detections per image and class count, ascending.
    public IReadOnlyList<int> MaxDetections { get; init; } = [1, 10, 100];

    /// The first range is the one of the headline numbers.
    public IReadOnlyList<AreaRange> Areas { get; init; } =
        [new("all", 0, 1e10), new("small", 0, 32 * 32), new("medium", 32 * 32, 96 * 96), new("large", 96 * 96, 1e10)];

    /// False merges all classes into one (class-agnostic proposals).
    public bool UseCategories { get; init; } = true;

    /// Only these images; null for all.
    public IReadOnlyCollection<long>? ImageIds { get; init; }

    /// Only these classes; null for all.
    public IReadOnlyCollection<long>? CategoryIds { get; init; }

    public void Validate()
    {
        if (MaxDetections.Count == 0 || MaxDetections[0] < 1 || MaxDetections.Zip(MaxDetections.Skip(1)).Any(pair => pair.First >= pair.Second))
            throw new ArgumentException(
                $"EvalParameters: MaxDetections must be positive and ascending, such as 1,10,100; got {string.Join(",", MaxDetections)}");
        if (IouThresholds.Count == 0 || RecallPoints.Count == 0 || Areas.Count == 0)
            throw new ArgumentException("EvalParameters: IouThresholds, RecallPoints and Areas need at least one entry each");
    }
}
