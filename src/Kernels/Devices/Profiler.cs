using System.Diagnostics;

namespace CudaKernels.Kernels.Devices;

/// <summary>Sums time, operations and bytes per kernel type and algorithm, and the time of named host work. One thread at a time reports to it.</summary>
internal sealed class Profiler
{
    private readonly Dictionary<(string Name, string? Algorithm), Row> rows = [];
    private readonly long start = Stopwatch.GetTimestamp();
    private double? stopped;

    /// <param name="Name">A kernel's type or the name of host work.</param>
    /// <param name="Algorithm">Which one the kernel chose; null where it has but one.</param>
    /// <param name="OnHost">No kernel.</param>
    public readonly record struct Row(string Name, string? Algorithm, bool OnHost, long Calls, double Seconds, double Flops, double Bytes);

    /// <summary>Seconds since the profiler was made, until it was stopped.</summary>
    public double WallSeconds => stopped ?? Stopwatch.GetElapsedTime(start).TotalSeconds;

    /// <summary>The part of them that rows account for.</summary>
    public double AccountedSeconds { get; private set; }

    /// <summary>Kernels, then host work, the most time first.</summary>
    public IReadOnlyList<Row> Rows => [.. rows.Values.OrderBy(r => r.OnHost).ThenByDescending(r => r.Seconds)];

    public void Add(string name, string? algorithm, double seconds, Cost cost) => Add(new(name, algorithm, false, 1, seconds, cost.Flops, cost.Bytes));

    /// <summary>Adds host work; see <see cref="Devices.HostWork"/>.</summary>
    public void AddHost(string name, double seconds) => Add(new(name, null, true, 1, seconds, 0, 0));

    /// <summary>Ends the time that is accounted for.</summary>
    public void Stop() => stopped = WallSeconds;

    private void Add(Row row)
    {
        AccountedSeconds += row.Seconds;
        rows.TryGetValue((row.Name, row.Algorithm), out var sum);
        rows[(row.Name, row.Algorithm)] = row with
        {
            Calls = sum.Calls + row.Calls,
            Seconds = sum.Seconds + row.Seconds,
            Flops = sum.Flops + row.Flops,
            Bytes = sum.Bytes + row.Bytes,
        };
    }
}
