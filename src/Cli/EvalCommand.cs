using System.CommandLine;
using System.Globalization;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>COCO numbers of a model on a data set, or of a result file against ground truth.</summary>
internal static class EvalCommand
{
    public static Command Create()
    {
        var weights = new Option<string?>("--weights") { Description = "Model to evaluate (safetensors).", HelpName = "FILE" };
        var data = new Option<string?>("--data") { Description = "Data set to evaluate on.", HelpName = "DATA" };
        var split = new Option<string>("--split") { Description = "Part of the data set.", DefaultValueFactory = _ => "val" };
        var truth = new Option<string?>("--gt") { Description = "COCO ground truth, instead of --data.", HelpName = "GT.json" };
        var results = new Option<string?>("--dt") { Description = "COCO results, instead of --weights.", HelpName = "DT.json" };
        var type = new Option<string>("--type") { Description = "bbox, or segm for masks (with --gt).", DefaultValueFactory = _ => "bbox" };
        type.AcceptOnlyFromAmong("bbox", "segm");
        var limits = new Option<string>("--max-dets") { Description = "Detections that count per picture and class, ascending.", DefaultValueFactory = _ => "1,10,100", HelpName = "1,10,100" };
        var output = new Option<string?>("--out") { Description = "Folder for precision-recall curves and confusion matrix (pictures and JSON).", HelpName = "DIR" };
        Option<string?> json = SharedOptions.Json();
        Option<int> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        Option<string> precision = SharedOptions.Precision();
        var command = new Command("eval", """
            Prints the twelve COCO numbers and a table per class.

            Examples:
              cudakernels eval --weights runs/train/best.safetensors --data data.yaml --split val
              cudakernels eval --gt instances_val2017.json --dt results.json --json -
            """) { weights, data, split, truth, results, type, limits, output, json, threads, device, precision };
        command.SetAction(parsed =>
        {
            var report = new Report(parsed.GetValue(json));
            var parameters = new EvalParameters
            {
                MaxDetections = Limits(parsed.GetValue(limits)!),
                Kind = parsed.GetValue(type) == "segm" ? OverlapKind.Mask : OverlapKind.Box,
            };
            var found = (parsed.GetValue(truth), parsed.GetValue(results), parsed.GetValue(weights), parsed.GetValue(data)) switch
            {
                ({ } gt, { } dt, null, null) => FromFiles(gt, dt, parameters.Kind),
                (null, null, { } file, { } set) => FromModel(file, set, parsed.GetValue(split)!, parameters.Kind, SharedOptions.DeviceOpener(parsed.GetValue(device)!, parsed.GetValue(threads), report.Note, parsed.GetValue(precision)!), report),
                _ => throw new UsageException("eval expects --weights with --data, or --gt with --dt"),
            };
            var result = CocoMetric.Evaluate(found.Truth, found.Detections, parameters);
            Print(report, result);
            if (found.Voc is { } voc)
                report.Line($"VOC mAP at IoU 0.5: {Percent(voc.MeanElevenPoint)} by 11 points, {Percent(voc.MeanAllPoint)} by all points");
            if (parsed.GetValue(output) is { } folder)
                EvaluationPictures.Write(folder, found.Truth, found.Detections, result);
            report.Json(result.ToJson());
            return CommandLine.Done;
        });
        return command;
    }

    /// <summary>The twelve numbers and the table per class.</summary>
    public static void Print(Report report, CocoResult result)
    {
        var table = result.Table();
        report.Table(table[0], table.Skip(1));
        report.Table(["all classes", "value"], result.Stats.Select(s => (string[])[s.Name, CocoResult.Format(s.Value)]));
    }

    private static EvaluatedSet FromFiles(string truthPath, string resultPath, OverlapKind kind)
    {
        var truth = CocoFiles.ReadGroundTruth(truthPath, masks: kind == OverlapKind.Mask);
        return new(truth, CocoFiles.ReadDetections(resultPath, truth, kind));
    }

    private static EvaluatedSet FromModel(string weights, string data, string split, OverlapKind kind, Func<Device> open, Report report)
    {
        if (kind == OverlapKind.Mask)
            throw new UsageException("--type segm needs --gt and --dt: the models here find boxes");
        var dataset = DatasetSource.Open(data, split);
        using var device = open();
        var file = ModelFile.Open(weights);
        if (!file.Classes.SequenceEqual(dataset.Classes))
            throw new DataException($"{weights}: was trained on the classes {string.Join(", ", file.Classes)} but {dataset.Name} has {string.Join(", ", dataset.Classes)}");
        var model = file.CreateModel();
        using var memory = file.Freeze(model, device);
        using var progress = new ProgressLine(report.Console);
        return Evaluator.Run(model, file.ImageSize, RankGroup.Alone(device), dataset, Environment.ProcessorCount, progress.Show, CancellationToken.None);
    }

    private static string Percent(double? value) => value is { } v ? v.ToString("0.000", CultureInfo.InvariantCulture) : "-";

    private static int[] Limits(string text)
    {
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        var values = parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out int v) ? v : 0).ToArray();
        return values.All(v => v > 0) && values.SequenceEqual(values.Distinct().Order()) ? values
            : throw new UsageException($"--max-dets expects ascending whole numbers such as 1,10,100 but is {text}");
    }
}
