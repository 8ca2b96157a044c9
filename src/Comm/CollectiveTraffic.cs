using System.Diagnostics;

namespace CudaKernels.Comm;

/// <summary>Counts what a rank asked of its group: calls, bytes and seconds for each operation and shape. It may be read at any time.</summary>
internal sealed class CollectiveTraffic
{
    private readonly Lock gate = new();
    private readonly Dictionary<CollectiveCall, Row> rows = [];

    /// <param name="Bytes">Of this rank's views, not of what an implementation sends for them.</param>
    /// <param name="Seconds">From the call to its return, the wait for the others included.</param>
    public readonly record struct Row(CollectiveCall Call, long Calls, long Bytes, double Seconds);

    /// <summary>The most bytes first.</summary>
    public IReadOnlyList<Row> Rows
    {
        get
        {
            lock (gate)
                return [.. rows.Values.OrderByDescending(row => row.Bytes)];
        }
    }

    /// <summary>Counts a call that lasts until the result is disposed.</summary>
    public Measurement Measure(in CollectiveCall call, long bytes) => new(this, call, bytes);

    internal readonly struct Measurement(CollectiveTraffic traffic, CollectiveCall call, long bytes) : IDisposable
    {
        private readonly long start = Stopwatch.GetTimestamp();

        public void Dispose()
        {
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            lock (traffic.gate)
            {
                traffic.rows.TryGetValue(call, out var row);
                traffic.rows[call] = new(call, row.Calls + 1, row.Bytes + bytes, row.Seconds + seconds);
            }
        }
    }
}
