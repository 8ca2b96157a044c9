using System.Diagnostics;
using System.Text.Json;

namespace CudaKernels.Tests;

/// <summary>
/// The checks of a device in order, each in a process of its own: a fault of a kernel spoils its process's context for good, a kernel that
/// never ends would block it, and neither may take the other checks with it.
/// </summary>
internal static class Ladder
{
    public static IReadOnlyList<Rung> Rungs { get; } =
    [
        .. DeviceRungs.All,
        .. OpCases.Classes(typeof(Ladder).Assembly).Select(type => new Rung($"e:{type.Name}", "op cases twice", device => OpCaseRung.Run(device, type))),
        .. SpeedRungs.All,
        .. TrainingRungs.All,
    ];

    /// <summary>Whether a rung belongs to what was asked for: "e" is all of e, nothing is everything.</summary>
    public static bool Belongs(Rung rung, IReadOnlyCollection<string> asked) =>
        asked.Count == 0 || asked.Any(name => rung.Name == name || rung.Name.StartsWith(name + ":", StringComparison.Ordinal));

    public static RungResult RunHere(Rung rung, string device)
    {
        long start = Stopwatch.GetTimestamp();
        var (state, text) = Outcome();
        return new(rung.Name, rung.What, state, Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds, 2), text);

        (RungState, string) Outcome()
        {
            try
            {
                return (RungState.Ok, rung.Work(device));
            }
            catch (RungSkipped e)
            {
                return (RungState.Skipped, e.Message);
            }
            catch (Exception e)
            {
                return (RungState.Failed, e.Message);
            }
        }
    }

    /// <summary>Starts a program that prints the rung's result as its last line; what else can happen to it counts as failed.</summary>
    public static RungResult RunApart(Rung rung, ProcessStartInfo program, TimeSpan limit)
    {
        long start = Stopwatch.GetTimestamp();
        program.RedirectStandardOutput = program.RedirectStandardError = true;
        using var process = Process.Start(program)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        bool ended = process.WaitForExit(limit);
        if (!ended)
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }
        string? last = LastLine(output.Result);
        if (ended && process.ExitCode == 0 && last?.StartsWith('{') == true)
            return JsonSerializer.Deserialize<RungResult>(last)!;
        string text = ended ? $"the process ended with exit code {process.ExitCode}: {LastLine(error.Result)}" : $"did not end within {limit.TotalSeconds:F0} s";
        return new(rung.Name, rung.What, RungState.Failed, Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds, 2), text);
    }

    private static string? LastLine(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault();
}
