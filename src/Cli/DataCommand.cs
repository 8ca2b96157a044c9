using System.CommandLine;
using System.Globalization;
using CudaKernels.Detection;
using Spectre.Console;

namespace CudaKernels.Cli;

/// <summary>Makes synthetic data, checks data sets and counts what is in them.</summary>
internal static class DataCommand
{
    public static Command Create() => new("data", "Makes, checks and counts data sets. A data set is never written to.") { Synth(), Check(), Stats() };

    private static Command Synth()
    {
        var output = new Option<string>("--out") { Description = "Folder to write; must not hold a data set yet.", Required = true, HelpName = "DIR" };
        var images = new Option<int>("--images") { Description = "Pictures in all; one in eight is for validation.", DefaultValueFactory = _ => 512 };
        var size = new Option<int>("--imgsz") { Description = "Side of the square pictures in pixels.", DefaultValueFactory = _ => 160 };
        Option<ulong> seed = SharedOptions.Seed();
        var command = new Command("synth", """
            Writes pictures of coloured, textured, overlapping shapes with COCO JSON for train and val, and a data.yaml.

            Example:
              cudakernels data synth --out shapes --images 512 --imgsz 160
            """) { output, images, size, seed };
        command.SetAction(parsed =>
        {
            string folder = parsed.GetRequiredValue(output);
            var report = new Report(null);
            if (parsed.GetValue(images) < SyntheticGenerator.LeastImages)
                throw new UsageException($"--images expects at least {SyntheticGenerator.LeastImages} but is {parsed.GetValue(images)}");
            if (parsed.GetValue(size) < SyntheticPicture.MinSize)
                throw new UsageException($"--imgsz expects at least {SyntheticPicture.MinSize} but is {parsed.GetValue(size)}");
            string data = SyntheticGenerator.Write(folder, parsed.GetValue(images), parsed.GetValue(size), parsed.GetValue(seed), Environment.ProcessorCount);
            report.Line($"{parsed.GetValue(images)} pictures. Train with:");
            report.Line($"  cudakernels train --data {data} --model ttfnet-nano --imgsz {parsed.GetValue(size)}");
            return CommandLine.Done;
        });
        return command;
    }

    private static Command Check()
    {
        Argument<string> data = DataArgument();
        Option<string?> json = SharedOptions.Json();
        Option<int> threads = SharedOptions.Threads();
        var command = new Command("check", """
            Reads a whole data set, every picture included, and lists all that is wrong with it.

            Example:
              cudakernels data check VOCdevkit/VOC2007
            """) { data, json, threads };
        command.SetAction(parsed =>
        {
            var report = new Report(parsed.GetValue(json));
            int workers = SharedOptions.CheckThreads(parsed.GetValue(threads)) is > 0 and var n ? n : Environment.ProcessorCount;
            var check = DatasetCheck.Run(parsed.GetRequiredValue(data), workers);
            foreach (var problem in check.Problems)
                report.Line($"{(problem.Fatal ? "error" : "note "),-6} {problem}");
            report.Table(["split", "pictures", "objects"], check.Splits.Select(s => (string[])[s.Split, $"{s.Images}", $"{s.Objects}"]));
            report.Line(check.FatalCount == 0
                ? $"The data set can be used; {check.BlemishCount} notes."
                : $"{check.FatalCount} errors, {check.BlemishCount} notes; training needs the errors mended.");
            report.Json(check.ToJson());
            return check.FatalCount == 0 ? CommandLine.Done : CommandLine.Failed;
        });
        return command;
    }

    private static Command Stats()
    {
        Argument<string> data = DataArgument();
        Option<string?> json = SharedOptions.Json();
        var command = new Command("stats", """
            Counts pictures, boxes and sizes, per split and class.

            Example:
              cudakernels data stats data.yaml --json stats.json
            """) { data, json };
        command.SetAction(parsed =>
        {
            var report = new Report(parsed.GetValue(json));
            string path = parsed.GetRequiredValue(data);
            var all = DatasetSource.Splits(path).Select(split => (Split: split, Stats: DatasetStats.Of(DatasetSource.Open(path, split)))).ToArray();
            foreach (var (split, stats) in all)
            {
                report.Line(string.Create(CultureInfo.InvariantCulture,
                    $"{split}: {stats.Images} pictures ({stats.ImagesWithoutObjects} without objects), {stats.Boxes} boxes, {stats.BoxesPerImageMean:F1} a picture (median {stats.BoxesPerImageMedian}, most {stats.BoxesPerImageMax}), {stats.Crowds} crowds, {stats.Difficult} difficult"));
                report.Table(["class", "boxes", "pictures", "small", "medium", "large"],
                    stats.Classes.Select(c => (string[])[c.Name, $"{c.Boxes}", $"{c.Images}", $"{c.Small}", $"{c.Medium}", $"{c.Large}"]));
            }
            report.Json("{" + string.Join(",", all.Select(a => $"\"{a.Split}\":{a.Stats.ToJson()}")) + "}");
            return CommandLine.Done;
        });
        return command;
    }

    private static Argument<string> DataArgument() => new("DATA")
    {
        Description = "A VOC folder, a YOLO data.yaml, or a YAML with train: {images, annotations} for COCO JSON.",
    };
}
