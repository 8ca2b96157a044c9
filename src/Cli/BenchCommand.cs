using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Times the work that a cases file names and prints one line a case.</summary>
internal static class BenchCommand
{
    private static readonly Dictionary<string, Func<BenchCase, BenchTensors, Action>> Operations = new()
    {
        ["conv2d_forward"] = KernelBench.ConvForward,
        ["conv2d_backward"] = KernelBench.ConvBackward,
        ["conv2d_backward_weight"] = KernelBench.ConvBackwardWeight,
        ["batch_norm_train"] = KernelBench.BatchNorm,
        ["group_norm_train"] = KernelBench.GroupNorm,
        ["conv_bn_relu_train"] = KernelBench.ConvBatchNormRelu,
        ["max_pool_train"] = KernelBench.MaxPool,
        ["upsample_bilinear_train"] = KernelBench.Bilinear,
        ["heatmap_focal_loss_train"] = KernelBench.HeatmapFocal,
        ["sgd_momentum_step"] = KernelBench.SgdStep,
        ["deform_conv2d_train"] = KernelBench.DeformConv,
        ["roi_align_train"] = KernelBench.RoiAlign,
        ["nms"] = KernelBench.Nms,
    };

    public static Command Create()
    {
        var cases = new Option<string>("--cases") { Description = "JSON file that names the work.", Required = true, HelpName = "FILE" };
        var only = new Option<string?>("--only") { Description = "Only cases whose name contains this text.", HelpName = "TEXT" };
        var seconds = new Option<double>("--seconds") { Description = "Time a case for about this long.", DefaultValueFactory = _ => 1.5, HelpName = "S" };
        var json = new Option<string?>("--json") { Description = "One JSON line a case to this file; - is standard output.", HelpName = "FILE" };
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("bench", """
            Times kernels and layers: median of the repetitions after warm-up, inputs resident.

            Example:
              cudakernels bench --cases cases.json --only conv3x3 --seconds 2 --json -
            """) { cases, only, seconds, json, threads };
        command.SetAction(parsed =>
        {
            using var device = new CpuDevice(SharedOptions.CheckThreads(parsed.GetValue(threads)));
            using var lines = LineWriter(parsed.GetValue(json));
            var report = new Report(parsed.GetValue(json));
            bool failed = false;
            string file = parsed.GetRequiredValue(cases), part = parsed.GetValue(only) ?? "";
            var chosen = BenchCase.ReadFile(file).Where(c => c.Name.Contains(part, StringComparison.Ordinal)).ToArray();
            if (chosen.Length == 0)
                throw new DataException($"{file}: has no case whose name contains \"{part}\"");
            foreach (var work in chosen)
                failed |= !Time(work, device, parsed.GetValue(seconds), report, lines);
            return failed ? CommandLine.Failed : CommandLine.Done;
        });
        return command;
    }

    /// <summary>The work of a case with its inputs filled, or null where there is no such operation.</summary>
    public static Action? Prepare(BenchCase work, BenchTensors tensors) => Operations.GetValueOrDefault(work.Operation)?.Invoke(work, tensors);

    private static bool Time(BenchCase work, CpuDevice device, double seconds, Report report, TextWriter lines)
    {
        var row = new JsonObject { ["case"] = work.Name };
        bool good = true;
        try
        {
            using var tensors = new BenchTensors(device);
            if (Prepare(work, tensors) is { } run)
            {
                var times = Measure(run, seconds);
                row["ms"] = Math.Round(times[times.Count / 2], 4);
                row["min_ms"] = Math.Round(times[0], 4);
                row["reps"] = times.Count;
                row["threads"] = device.Team.Threads;
                report.Line($"{work.Name,-34} {times[times.Count / 2],10:F3} ms   min {times[0]:F3}   {times.Count} times");
            }
            else
            {
                row["skipped"] = true;
                report.Line($"{work.Name,-34} skipped: no operation {work.Operation}");
            }
        }
        catch (Exception e) when (e is DataException or Kernels.KernelException or ArgumentException or OverflowException or OutOfMemoryException)
        {
            good = false;
            row["error"] = e.Message;
            report.Line($"{work.Name,-34} failed: {e.Message}");
        }
        lines.WriteLine(row.ToJsonString());
        lines.Flush();
        return good;
    }

    /// <summary>Sorted milliseconds of at least five runs after three that are not counted.</summary>
    private static List<double> Measure(Action work, double seconds)
    {
        for (int i = 0; i < 3; i++)
            work();
        var times = new List<double>();
        long start = Stopwatch.GetTimestamp();
        while (times.Count < 5 || (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds && times.Count < 200))
        {
            long one = Stopwatch.GetTimestamp();
            work();
            times.Add(Stopwatch.GetElapsedTime(one).TotalMilliseconds);
        }
        times.Sort();
        return times;
    }

    private static TextWriter LineWriter(string? json) => json switch
    {
        null => TextWriter.Null,
        "-" => Console.Out,
        _ => new StreamWriter(json),
    };
}
