using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaKernels.Detection;

/// <summary>
/// Where a training run lives: config.yaml, metrics.jsonl (a line per step and evaluation), metrics.json (the last evaluation),
/// last.safetensors and best.safetensors, curves.png, batch.png, and pictures of the last evaluation.
/// </summary>
internal sealed class RunFolder
{
    private RunFolder(string path) => Path = path;

    public string Path { get; }

    public string Config => File("config.yaml");

    public string Log => File("metrics.jsonl");

    public string Metrics => File("metrics.json");

    public string Last => File("last.safetensors");

    public bool HasCheckpoint => System.IO.File.Exists(Last);

    public string Best => File("best.safetensors");

    public string Curves => File("curves.png");

    public string FirstBatch => File("batch.png");

    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>
    /// A place for a new run; refuses one that already holds a run, so nothing is overwritten, and the data set's own folder, which is
    /// never written to. Nothing is written yet.
    /// </summary>
    public static RunFolder New(string path, string data)
    {
        var run = new RunFolder(path);
        if (run.HasCheckpoint || System.IO.File.Exists(run.Config))
            throw new DataException($"{path}: holds a run already; resume it or choose another folder");
        bool isFolder = Directory.Exists(data);
        string home = Full(isFolder ? data : System.IO.Path.GetDirectoryName(Full(data))!);
        if (Full(path) == home || (isFolder && Full(path).StartsWith(home + System.IO.Path.DirectorySeparatorChar, StringComparison.Ordinal)))
            throw new DataException($"{path}: belongs to the data set {data}, which is never written to; choose another folder for the run");
        return run;
    }

    /// <summary>The folder of a run that another rank writes.</summary>
    public static RunFolder At(string path) => new(path);

    /// <summary>Makes the folder, an empty log and the configuration file.</summary>
    public void Create(string config)
    {
        OutputFolder.Make(Path);
        try
        {
            System.IO.File.WriteAllText(Log, "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{Path}: cannot be written ({e.Message})");
        }
        AtomicFile.WriteText(Config, config);
    }

    /// <summary>The folder of a run to go on with; one killed in its first epoch has no checkpoint yet and begins again.</summary>
    public static RunFolder Open(string path)
    {
        var run = new RunFolder(path);
        if (!System.IO.File.Exists(run.Config))
            throw new DataException($"{path}: is no run folder (config.yaml is missing)");
        if (!run.HasCheckpoint && System.IO.File.Exists(run.Best))
            throw new DataException($"{path}: has no checkpoint to resume from (last.safetensors is missing); start the run again in another folder");
        return run;
    }

    /// <summary>Adds one line to the log.</summary>
    public void Append(JsonObject line) => System.IO.File.AppendAllText(Log, line.ToJsonString() + "\n");

    public void WriteMetrics(JsonObject metrics) =>
        AtomicFile.WriteText(Metrics, metrics.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");

    /// <summary>Lines of the log up to a step, oldest first; what a crash cut or damaged is left out.</summary>
    public IReadOnlyList<JsonObject> ReadLog(long lastStep = long.MaxValue)
    {
        var lines = new List<JsonObject>();
        if (!System.IO.File.Exists(Log))
            return lines;
        foreach (string text in System.IO.File.ReadLines(Log))
            if (Line(text) is { } line && line["step"]!.GetValue<long>() <= lastStep)
                lines.Add(line);
        return lines;
    }

    private static string Full(string path) => System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));

    private static JsonObject? Line(string text)
    {
        try
        {
            return JsonNode.Parse(text) is JsonObject line && line["step"] is JsonValue step && step.TryGetValue(out long _)
                && line["type"] is JsonValue type && type.TryGetValue(out string? _) ? line : null;
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            return null; // no JSON, or a key twice
        }
    }

    /// <summary>Drops what was logged after the checkpoint that training goes on from, and an evaluation that did not come to its end.</summary>
    public void TruncateLog(long lastStep, long lastEvaluation) =>
        AtomicFile.WriteText(Log, string.Concat(ReadLog(lastStep)
            .Where(l => (string?)l["type"] != "evaluation" || l["step"]!.GetValue<long>() <= lastEvaluation).Select(l => l.ToJsonString() + "\n")));
}
