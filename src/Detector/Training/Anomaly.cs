namespace CudaKernels.Detection;

/// <summary>A loss or gradient that is not a number: where it appeared and on which pictures.</summary>
/// <param name="Rank">The rank whose pictures it came from, where there are several ranks and that is known.</param>
internal sealed record Anomaly(long Step, string Part, IReadOnlyList<string> Images, int? Rank = null)
{
    /// <summary>After this many in a row even skip and rollback give up: the run has diverged.</summary>
    public const int Limit = 10;

    public override string ToString() =>
        $"step {Step}: {Part}{(Rank is { } rank ? $" of rank {rank}" : "")} is not finite; pictures {string.Join(", ", Images.Take(4))}{(Images.Count > 4 ? $" and {Images.Count - 4} more" : "")}";
}

/// <summary>Training ended because of what it computed, not because of what it was given.</summary>
public sealed class TrainingException(string message) : Exception(message);
