using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>What a training step holds, kept or recomputed in 1 to 16 segments, calculated from shapes and, on request, measured.</summary>
internal static class MemoryCommand
{
    private const int WeightCopies = 3; // weights, gradients, momentum

    private static readonly string[] Stages = ["stem", "c2", "c3", "c4", "c5"];

    public static Command Create()
    {
        var model = new Option<string>("--model") { Description = "A detector, see models, or resnet-18, -34, -50, -101.", DefaultValueFactory = _ => "ttfnet-18", HelpName = "NAME" };
        var size = new Option<int>("--imgsz") { Description = "Side of the pictures.", DefaultValueFactory = _ => 512, HelpName = "S" };
        var batch = new Option<int>("--batch") { Description = "Pictures of a step.", DefaultValueFactory = _ => 16, HelpName = "N" };
        var budget = new Option<double>("--budget") { Description = "Memory that the largest batch has to fit into.", DefaultValueFactory = _ => 8, HelpName = "GIB" };
        var only = new Option<int[]>("--segments") { Description = "Only these numbers of segments; 0 keeps everything.", HelpName = "N N ...", AllowMultipleArgumentsPerToken = true };
        var measure = new Option<int>("--measure") { Description = "Train that many pairs of steps with and without each number of segments.", HelpName = "PAIRS" };
        Option<string?> json = SharedOptions.Json();
        Option<string> where = SharedOptions.Device();
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("memory", """
            Shows the memory of a training step when the backbone's activations are kept, and when they are computed again in the backward pass: the best cut
            into 1 to 16 segments from the stem on. Calculated from shapes; with --measure also the pool's peak and the time of real steps.

            Example:
              cudakernels memory --model ttfnet-53 --imgsz 512 --batch 12 --budget 11
            """) { model, size, batch, budget, only, measure, json, where, threads };
        command.SetAction(parsed =>
        {
            int pictures = AtLeast(1, batch), pairs = AtLeast(0, measure);
            long room = parsed.GetValue(budget) is > 0 and < 1e6 and var gibibytes ? (long)(gibibytes * (1 << 30))
                : throw new UsageException(FormattableString.Invariant($"--budget expects a positive number of GiB but is {parsed.GetValue(budget)}"));
            string name = parsed.GetValue(model)!;
            int side = parsed.GetValue(size);
            var report = new Report(parsed.GetValue(json));
            var open = SharedOptions.DeviceOpener(parsed.GetValue(where)!, parsed.GetValue(threads), report.Note);

            using var memory = new MemoryWork(name, pictures, side).Estimate();
            var stored = memory.Stored();
            RecomputePlan[] plans = [stored, .. memory.Plans().GroupBy(p => p.Segments.Count).OrderBy(g => g.Key).Select(g => g.MinBy(p => p.PeakBytes)!)];
            if (parsed.GetValue(only) is { Length: > 0 } wanted)
                plans = [.. wanted.Select(count => plans.FirstOrDefault(p => p.Segments.Count == count)
                    ?? throw new UsageException($"--segments expects 0 to {plans[^1].Segments.Count} for {name} but is {count}"))];
            using var device = pairs > 0 ? open() : null;
            using var bench = device is null ? null : new RecomputeBench(new MemoryWork(name, pictures, side), device);
            bench?.Time(plans[^1].Segments, 2); // warms up
            var rows = new List<string[]>();
            var lines = new JsonArray();
            foreach (var plan in plans)
            {
                int largest = Largest(name, side, plan.Segments, room);
                var line = new JsonObject
                {
                    ["segments"] = plan.Segments.Count,
                    ["ends"] = new JsonArray([.. plan.Segments.Select(e => JsonValue.Create(e))]),
                    ["calculated_bytes"] = plan.PeakBytes,
                    ["extra_work"] = Math.Round(plan.ExtraWork, 4),
                    ["largest_batch"] = largest,
                };
                List<string> row = [
                    plan.Stages == 0 ? "kept" : $"{plan.Segments.Count}", string.Join(" ", Stages.Take(plan.Stages)), Mebibytes(plan.PeakBytes),
                    Text($"{(double)stored.PeakBytes / plan.PeakBytes:F2}"), Text($"{100 * plan.ExtraWork:F0} %"), $"{largest}"];
                if (bench is not null)
                {
                    var (_, peak) = bench.Bytes(plan.Segments);
                    var (ratio, kept) = bench.Time(plan.Segments, pairs);
                    (line["measured_bytes"], line["time_ratio"], line["kept_ms"]) = (peak, Math.Round(ratio, 4), Math.Round(kept, 2));
                    row.AddRange([Mebibytes(peak), Text($"{ratio:F2}")]);
                }
                rows.Add([.. row]);
                lines.Add(line);
            }
            string[] columns = ["segments", "recomputed", "MiB", "smaller", "forward again", $"batch in {Text($"{parsed.GetValue(budget)}")} GiB"];
            report.Table(bench is null ? columns : [.. columns, "MiB measured", "time"], rows);
            report.Json(lines.ToJsonString());
            return CommandLine.Done;

            int AtLeast(int least, Option<int> option) => parsed.GetValue(option) is var value && value >= least ? value
                : throw new UsageException($"{option.Name} expects at least {least} but is {value}");
        });
        return command;
    }

    /// <summary>The largest batch whose step fits beside weights, gradients and momentum; 0 if none does.</summary>
    private static int Largest(string model, int imageSize, IReadOnlyList<int> segments, long room)
    {
        int fits = 0, tooLarge = 1;
        while (Fits(tooLarge))
            (fits, tooLarge) = (tooLarge, 2 * tooLarge);
        while (tooLarge - fits > 1)
        {
            int middle = (fits + tooLarge) / 2;
            if (Fits(middle))
                fits = middle;
            else
                tooLarge = middle;
        }
        return fits;

        bool Fits(int batch)
        {
            using var memory = new MemoryWork(model, batch, imageSize).Estimate();
            return WeightCopies * memory.WeightBytes + memory.Run(segments).PeakBytes <= room;
        }
    }

    private static string Mebibytes(long bytes) => Text($"{bytes / (double)(1 << 20):F0}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
