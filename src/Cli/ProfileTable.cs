using System.Globalization;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Where the time of a run went: kernel by kernel with the algorithm that ran, the host's work by name, and what is left.</summary>
internal static class ProfileTable
{
    public static void Print(Report report, Profiler profiler)
    {
        double wall = profiler.WallSeconds;
        report.Table(["work", "calls", "seconds", "share", "GFLOP/s", "GB/s"],
        [
            .. profiler.Rows.Select(r => (string[])
                [Title(r), $"{r.Calls}", Number(r.Seconds), Share(r.Seconds), Rate(r, r.Flops), Rate(r, r.Bytes)]),
            ["unaccounted for", "", Number(wall - profiler.AccountedSeconds), Share(wall - profiler.AccountedSeconds), "", ""],
        ]);

        string Share(double seconds) => (seconds / wall).ToString("P1", CultureInfo.InvariantCulture);
    }

    private static string Title(Profiler.Row row) =>
        row.OnHost ? "host: " + row.Name : row.Algorithm is null ? row.Name : $"{row.Name}, {row.Algorithm}";

    private static string Rate(Profiler.Row row, double amount) => row.OnHost ? "" : Number(amount / row.Seconds / 1e9);

    private static string Number(double value) => value.ToString("F2", CultureInfo.InvariantCulture);
}
