using System.Diagnostics;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Ranks that are processes of this machine, started by mpirun: what they wrote and how it ended.</summary>
internal sealed record MpiRun(int ExitCode, string[] Lines, string Error, TimeSpan AfterNow)
{
    /// <summary>Runs the program of the ranks; where mpirun is missing the test is skipped and says so.</summary>
    public static MpiRun Ranks(int size, params string[] arguments) => Start(size, Path.Combine(AppContext.BaseDirectory, "cudakernels-ranks.dll"), arguments);

    /// <summary>Runs a program; <see cref="AfterNow"/> is the time from its line "now" to the end of all.</summary>
    public static MpiRun Start(int size, string program, params string[] arguments)
    {
        using var process = Begin(size, program, arguments);
        var error = process.StandardError.ReadToEndAsync();
        List<string> lines = [];
        long now = Stopwatch.GetTimestamp();
        while (process.StandardOutput.ReadLine() is { } line)
        {
            lines.Add(line.Trim());
            if (lines[^1] == "now")
                now = Stopwatch.GetTimestamp();
        }
        process.WaitForExit();
        return new(process.ExitCode, [.. lines], error.Result, Stopwatch.GetElapsedTime(now));
    }

    /// <summary>Starts a program on all ranks and does not wait.</summary>
    /// <param name="size">Ranks.</param>
    /// <param name="program">A managed program.</param>
    /// <param name="arguments">The program's own.</param>
    /// <param name="grace">Seconds that the others have to end once one is dead.</param>
    public static Process Begin(int size, string program, string[] arguments, int grace = 1)
    {
        var start = new ProcessStartInfo("mpirun", ["--allow-run-as-root", "--oversubscribe", "-np", size.ToString(), "dotnet", program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["OMPI_MCA_odls_base_sigkill_timeout"] = $"{grace}";
        start.Environment["TERM"] = "dumb"; // mpirun gives the ranks a terminal, to which the runtime would send control characters
        return Started(start);
    }

    private static Process Started(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("no mpirun here to start ranks with (Debian: openmpi-bin, libopenmpi3)");
            throw;
        }
    }
}
