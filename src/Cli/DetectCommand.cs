using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>Finds objects in pictures: annotated copies and COCO-style results.</summary>
internal static class DetectCommand
{
    private static readonly string[] Extensions = [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif"];

    public static Command Create()
    {
        var weights = new Option<string>("--weights") { Description = "Model (safetensors).", Required = true, HelpName = "FILE" };
        var pictures = new Argument<string[]>("IMAGE") { Description = "Pictures, folders or patterns such as 'photos/*.jpg'.", Arity = ArgumentArity.OneOrMore };
        var confidence = new Option<double>("--conf") { Description = "Least score of a detection.", DefaultValueFactory = _ => 0.3 };
        var output = new Option<string?>("--out") { Description = "Folder for annotated copies.", HelpName = "DIR" };
        Option<string?> json = SharedOptions.Json();
        Option<int> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        Option<string> precision = SharedOptions.Precision();
        var command = new Command("detect", """
            Finds objects in pictures. Unreadable pictures are named and left out; the exit code is then 1.

            Example:
              cudakernels detect --weights best.safetensors photos --conf 0.4 --out found --json results.json
            """) { pictures, weights, confidence, output, json, threads, device, precision };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(confidence) is not (>= 0 and <= 1))
                throw new UsageException($"--conf expects a number from 0 to 1 but is {parsed.GetValue(confidence)}");
            var report = new Report(parsed.GetValue(json));
            var open = SharedOptions.DeviceOpener(parsed.GetValue(device)!, parsed.GetValue(threads), report.Note, parsed.GetValue(precision)!);
            var files = Expand(parsed.GetRequiredValue(pictures));
            var copies = parsed.GetValue(output) is { } folder ? CopyNames(folder, files) : [];
            using var detector = Detector.Load(parsed.GetRequiredValue(weights), open);
            if (parsed.GetValue(output) is { } made)
                OutputFolder.Make(made);
            var results = new JsonArray();
            int failures = 0;
            foreach (var (file, index) in files.Select((f, i) => (f, i)))
            {
                try
                {
                    var image = ImageFile.Load(file);
                    var found = detector.Detect(image, (float)parsed.GetValue(confidence));
                    report.Line($"{file}: {Summary(found)}");
                    if (copies.Count > 0)
                        ImageFile.SavePng(AnnotatedPicture.Draw(image, [.. found.Select(d => new PictureBox(d.Box, d.Class, d.Label, d.Score))]), copies[index]);
                    foreach (var d in found)
                        results.Add(Result(d, file, index + 1));
                }
                catch (DataException e)
                {
                    failures++;
                    CommandLine.Say(e.Message, CommandLine.Failed);
                }
            }
            report.Json(results.ToJsonString(new JsonSerializerOptions { WriteIndented = parsed.GetValue(json) != "-" }));
            return failures == 0 ? CommandLine.Done : CommandLine.Failed;
        });
        return command;
    }

    /// <summary>A COCO result: box as x, y, width, height; image_id counts the pictures from 1, category_id the classes.</summary>
    private static JsonObject Result(Detection.Detection found, string file, int image) => new()
    {
        ["image_id"] = image,
        ["file_name"] = file,
        ["category_id"] = found.Class + 1,
        ["category"] = found.Label,
        ["bbox"] = new JsonArray(Round(found.Box.X1), Round(found.Box.Y1), Round(found.Box.Width), Round(found.Box.Height)),
        ["score"] = Math.Round(found.Score, 5),
    };

    private static JsonNode Round(double value) => JsonValue.Create(Math.Round(value, 2));

    private static string Summary(IReadOnlyList<Detection.Detection> found) => found.Count == 0 ? "nothing found"
        : string.Join(", ", found.GroupBy(d => d.Label).OrderByDescending(g => g.Count()).Select(g => $"{g.Count()} {g.Key}"));

    /// <summary>One annotated copy for each picture: NAME.png, or NAME-2.png and so on where two pictures share a name.</summary>
    private static List<string> CopyNames(string folder, IReadOnlyList<string> files)
    {
        string home = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (files.FirstOrDefault(f => Path.GetDirectoryName(Path.GetFullPath(f)) == home) is { } picture)
            throw new UsageException($"--out {folder} is where the picture {picture} lies; choose another folder, so that no picture is overwritten");
        var taken = new HashSet<string>();
        var names = new List<string>();
        foreach (string file in files)
        {
            string stem = Path.Combine(folder, Path.GetFileNameWithoutExtension(file)), path = stem + ".png";
            for (int n = 2; !taken.Add(path); n++)
                path = $"{stem}-{n}.png";
            names.Add(path);
        }
        return names;
    }

    private static IReadOnlyList<string> Expand(IEnumerable<string> names)
    {
        var files = new List<string>();
        foreach (string name in names)
        {
            int before = files.Count;
            if (Directory.Exists(name))
                files.AddRange(Directory.EnumerateFiles(name).Where(IsPicture).Order(StringComparer.Ordinal));
            else if (!File.Exists(name) && IsPattern(name))
                files.AddRange(Matches(name, Directory.EnumerateFiles));
            else
                files.Add(name);
            if (files.Count == before)
                throw new DataException($"{name}: no pictures there");
        }
        return files;
    }

    private static bool IsPattern(string name) => name.AsSpan().ContainsAny('*', '?');

    /// <summary>What fits a pattern, whose folders may be patterns too, in ordinal order.</summary>
    private static IEnumerable<string> Matches(string pattern, Func<string, string, IEnumerable<string>> list)
    {
        string parent = Path.GetDirectoryName(pattern) is { Length: > 0 } some ? some : ".";
        return (IsPattern(parent) ? Matches(parent, Directory.EnumerateDirectories) : [parent])
            .Where(Directory.Exists).SelectMany(folder => list(folder, Path.GetFileName(pattern)).Order(StringComparer.Ordinal));
    }

    private static bool IsPicture(string path) => Extensions.Contains(Path.GetExtension(path).ToLowerInvariant());
}
