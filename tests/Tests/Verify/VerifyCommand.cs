using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using CudaKernels.Cli;

namespace CudaKernels.Tests;

/// <summary>The verb `verify` of the bundle for GPU machines: runs the ladder on a device and prints a row a rung.</summary>
internal static class VerifyCommand
{
    /// <param name="self">Starts this program again with these arguments.</param>
    public static Command Create(Func<string[], ProcessStartInfo> self)
    {
        Option<string> device = new("--device") { Description = "Device to verify.", DefaultValueFactory = _ => "cuda:0" };
        Option<string[]> only = new("--only") { Description = "Only these rungs, such as a d e:ConvTests.", HelpName = "RUNG", AllowMultipleArgumentsPerToken = true };
        Option<double> limit = new("--limit") { Description = "Seconds after which a rung counts as failed.", DefaultValueFactory = _ => 600, HelpName = "S" };
        Option<bool> here = new("--here") { Description = "Run in this process, print results as JSON lines.", Hidden = true };
        Option<string?> tables = new("--tables") { Description = "Verify nothing: print the results in this folder, of run.sh, as tables.", HelpName = "DIR" };
        Option<string?> json = SharedOptions.Json();
        var command = new Command("verify", """
            Checks a device from the driver to whole training runs, each rung in a process of its own; exit code 1 if one failed.

            Example:
              cudakernels-gpu verify --device cuda:0
            """) { device, only, limit, here, tables, json };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(tables) is { } folder)
            {
                Console.Write(ResultTables.Write(folder));
                return CommandLine.Done;
            }
            string name = SharedOptions.CheckDevice(parsed.GetValue(device)!).ToString();
            string[] asked = parsed.GetValue(only) ?? [];
            var rungs = Ladder.Rungs.Where(rung => Ladder.Belongs(rung, asked)).ToList();
            if (rungs.Count == 0)
                throw new UsageException($"--only expects {string.Join(", ", Ladder.Rungs.Select(r => r.Name))} but is {string.Join(", ", asked)}");
            if (parsed.GetValue(here))
            {
                foreach (var rung in rungs)
                    Console.WriteLine(JsonSerializer.Serialize(Ladder.RunHere(rung, name)));
                return CommandLine.Done;
            }
            var report = new Report(parsed.GetValue(json));
            report.Line($"{"rung",-24} {"what",-34} {"state",-8} {"time",8}  figures");
            var results = new List<RungResult>();
            foreach (var rung in rungs)
            {
                var result = Ladder.RunApart(rung, self(["verify", "--device", name, "--only", rung.Name, "--here"]), TimeSpan.FromSeconds(parsed.GetValue(limit)));
                results.Add(result);
                string text = result.Text.ReplaceLineEndings($"{Environment.NewLine}    ");
                report.Line(FormattableString.Invariant($"{result.Name,-24} {result.What,-34} {result.State.ToString().ToLowerInvariant(),-8} {result.Seconds,6:F1} s  {text}"));
            }
            int failed = Count(RungState.Failed);
            report.Line($"{name}: {Count(RungState.Ok)} ok, {failed} failed, {Count(RungState.Skipped)} skipped");
            report.Json(JsonSerializer.Serialize(results));
            return failed == 0 ? CommandLine.Done : CommandLine.Failed;

            int Count(RungState state) => results.Count(r => r.State == state);
        });
        return command;
    }
}
