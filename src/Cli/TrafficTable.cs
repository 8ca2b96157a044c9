using System.Globalization;
using CudaKernels.Comm;

namespace CudaKernels.Cli;

/// <summary>What a rank gave to the collectives in a run: by purpose and operation, the bytes of its own views and the time until the result was there.</summary>
internal static class TrafficTable
{
    private const int Rows = 20;

    /// <param name="steps">Of this run; evaluations and start are counted in, but are small beside them.</param>
    public static void Print(Report report, IReadOnlyList<(string Purpose, CollectiveTraffic Traffic)> traffic, long steps)
    {
        var rows = traffic.SelectMany(t => t.Traffic.Rows.Select(row => (t.Purpose, Row: row))).ToArray();
        if (rows.Length == 0)
            return;
        report.Table(["collective", "calls", "calls/step", "KiB/step", "seconds"],
        [
            .. rows.OrderByDescending(r => r.Row.Bytes).Take(Rows).Select(r => Line($"{r.Purpose}: {r.Row.Call}", [r.Row])),
            .. traffic.Select(t => Line("all of " + t.Purpose, t.Traffic.Rows)),
        ]);

        string[] Line(string title, IReadOnlyList<CollectiveTraffic.Row> of)
        {
            long calls = of.Sum(r => r.Calls);
            return [title, $"{calls}", Number(calls / (double)steps), Number(of.Sum(r => r.Bytes) / 1024.0 / steps), Number(of.Sum(r => r.Seconds))];
        }
    }

    private static string Number(double value) => value.ToString("F2", CultureInfo.InvariantCulture);
}
