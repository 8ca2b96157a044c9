using System.Diagnostics;

namespace CudaKernels.Kernels.Devices;

/// <summary>Sums time, operations and bytes per kernel type.</summary>
internal sealed class Profiler
{
    private readonly Dictionary<string, Row> rows = [];
    private readonly long start = Stopwatch.GetTimestamp();

    public readonly record struct Row(string Name, long Calls, double Seconds, double Flops, double Bytes);

    /// <summary>Seconds since the profiler was made.</summary>
    public double WallSeconds => Stopwatch.GetElapsedTime(start).TotalSeconds;

    /// <summary>One row per kernel, the most time first.</summary>
    public IReadOnlyList<Row> Rows => [.. rows.Values.OrderByDescending(r => r.Seconds)];

    public void Add(string name, double seconds, Cost cost)
    {
        rows.TryGetValue(name, out var row);
        rows[name] = new(name, row.Calls + 1, row.Seconds + seconds, row.Flops + cost.Flops, row.Bytes + cost.Bytes);
    }
}
