using System.Globalization;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Where the time of a run went, kernel by kernel, and what share no kernel accounts for.</summary>
internal static class ProfileTable
{
    public static void Print(Report report, Profiler profiler)
    {
        double wall = profiler.WallSeconds, kernels = profiler.Rows.Sum(r => r.Seconds);
        report.Table(["kernel", "calls", "seconds", "share", "GFLOP/s", "GB/s"],
        [
            .. profiler.Rows.Select(r => (string[])
                [r.Name, $"{r.Calls}", Number(r.Seconds), Share(r.Seconds), Number(r.Flops / r.Seconds / 1e9), Number(r.Bytes / r.Seconds / 1e9)]),
            ["outside kernels", "", Number(wall - kernels), Share(wall - kernels), "", ""],
        ]);

        string Share(double seconds) => (seconds / wall).ToString("P1", CultureInfo.InvariantCulture);
    }

    private static string Number(double value) => value.ToString("F2", CultureInfo.InvariantCulture);
}
