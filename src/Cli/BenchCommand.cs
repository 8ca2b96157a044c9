using System.CommandLine;
using System.Text.Json.Nodes;
using CudaKernels.Detection;
using CudaKernels.Kernels;
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
        ["resnet18_forward"] = StepBench.ResNet18Forward,
        ["resnet18_train_step"] = StepBench.ResNet18Step,
        ["resnet50_train_step"] = StepBench.ResNet50Step,
        ["centernet18_plain_train_step"] = StepBench.CenterNetStep,
    };

    public static Command Create()
    {
        var cases = new Option<string>("--cases") { Description = "JSON file that names the work.", Required = true, HelpName = "FILE" };
        var only = new Option<string?>("--only") { Description = "Only cases whose name contains this text.", HelpName = "TEXT" };
        var seconds = new Option<double>("--seconds") { Description = "Time a case for about this long.", DefaultValueFactory = _ => 1.5, HelpName = "S" };
        var json = new Option<string?>("--json") { Description = "One JSON line a case to this file; - is standard output.", HelpName = "FILE" };
        Option<string> where = SharedOptions.Device();
        Option<string> precision = SharedOptions.Precision();
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("bench", """
            Times kernels and layers: median of the repetitions after warm-up, inputs resident. On a GPU by its own clock, with inputs that take turns so
            that its cache holds none of them; the first row is what its memory can copy.

            Example:
              cudakernels bench --cases cases.json --only conv3x3 --seconds 2 --json -
            """) { cases, only, seconds, json, where, precision, threads };
        command.SetAction(parsed =>
        {
            string file = parsed.GetValue(cases)!, part = parsed.GetValue(only) ?? "";
            bool failed = false;
            var report = new Report(parsed.GetValue(json));
            var open = SharedOptions.DeviceOpener(parsed.GetValue(where)!, parsed.GetValue(threads), report.Note, parsed.GetValue(precision)!);
            var chosen = BenchCase.ReadFile(file, sentence =>
            {
                failed = true;
                report.Line($"{file}: {sentence}");
            }).Where(c => c.Name.Contains(part, StringComparison.Ordinal)).ToArray();
            if (chosen.Length == 0)
                throw new DataException($"{file}: has no case whose name contains \"{part}\"");
            using var device = open();
            using var lines = LineWriter(parsed.GetValue(json));
            if (device is GpuDevice)
                Write(lines, Copy(device, report));
            foreach (var work in chosen)
            {
                var row = Time(work, device, parsed.GetValue(seconds), report);
                failed |= row.ContainsKey("error");
                Write(lines, row);
            }
            return failed ? CommandLine.Failed : CommandLine.Done;
        });
        return command;
    }

    /// <summary>The work of a case with its inputs filled, or null where there is no such operation.</summary>
    public static Action? Prepare(BenchCase work, BenchTensors tensors)
    {
        var run = Operations.GetValueOrDefault(work.Operation)?.Invoke(work, tensors);
        if (run is not null)
            work.CheckKeys();
        return run;
    }

    private static JsonObject Time(BenchCase work, Device device, double seconds, Report report)
    {
        var row = new JsonObject { ["case"] = work.Name };
        try
        {
            using var inputs = new RotatingInputs(work, device);
            if (inputs.Run is not { } run)
            {
                row["skipped"] = true;
                report.Line($"{work.Name,-34} skipped: line {work.Line}: no operation {work.Operation}");
                return row;
            }
            var times = DeviceTimer.Measure(device, run, seconds);
            double median = times[times.Count / 2];
            row["ms"] = Math.Round(median, 4);
            row["min_ms"] = Math.Round(times[0], 4);
            row["reps"] = times.Count;
            row["gflop_per_s"] = Math.Round(inputs.Cost.Flops / median * 1e-6, 1);
            row["gb_per_s"] = Math.Round(inputs.Cost.Bytes / median * 1e-6, 1);
            row["peak_mib"] = Math.Round(inputs.PeakBytes / (double)(1 << 20), 1);
            row["device"] = device.Name;
            row["precision"] = device.Precision.ToString().ToLowerInvariant();
            if (device is CpuDevice cpu)
                row["threads"] = cpu.Team.Threads;
            else
                (row["input_sets"], row["cached"]) = (inputs.Sets, inputs.Cached);
            report.Line(FormattableString.Invariant($"{work.Name,-34} {median,10:F3} ms   min {times[0]:F3}   {times.Count} times   peak {inputs.PeakBytes / (double)(1 << 20):F1} MiB{(inputs.Cached ? "   from the cache" : "")}"));
        }
        catch (Exception e) when (e is DataException or KernelException or ArgumentException or OverflowException or OutOfMemoryException)
        {
            row["error"] = e.Message;
            report.Line($"{work.Name,-34} failed: {e.Message}");
        }
        return row;
    }

    /// <summary>What the memory can do, measured in the same run: what memory-bound cases are held against.</summary>
    private static JsonObject Copy(Device device, Report report)
    {
        var bench = new CopyBench(device);
        double rate = Math.Round(bench.DriverCopy(), 1);
        bench.Return();
        device.Pool.Trim();
        report.Line(FormattableString.Invariant($"{"copy",-34} {rate,10:F1} GB/s, read and written"));
        return new() { ["case"] = "copy", ["ms"] = Math.Round(2 * bench.Bytes / rate * 1e-6, 4), ["gb_per_s"] = rate, ["device"] = device.Name };
    }

    private static void Write(TextWriter lines, JsonObject row)
    {
        lines.WriteLine(row.ToJsonString());
        lines.Flush();
    }

    private static TextWriter LineWriter(string? json) => json switch
    {
        null => TextWriter.Null,
        "-" => Console.Out,
        _ => new StreamWriter(json),
    };
}
