using System.Text.Json.Nodes;

namespace CudaKernels.Detection;

/// <summary>Writes a run's numbers: a log line per step and evaluation, metrics.json, and the curves as a picture.</summary>
internal sealed class RunCurves(RunFolder folder)
{
    private List<JsonObject> lines = [];

    /// <summary>Takes up the log that a resumed run already has.</summary>
    public void Reload() => lines = [.. folder.ReadLog()];

    public void Step(int epoch, long step, float rate, IReadOnlyList<(string Name, float Value)> losses, float norm)
    {
        var line = new JsonObject { ["type"] = "step", ["epoch"] = epoch, ["step"] = step, ["lr"] = (double)rate, ["gradient_norm"] = Finite(norm) };
        line["loss"] = Finite(losses.Sum(l => l.Value));
        foreach (var (name, value) in losses)
            line["loss_" + name] = Finite(value);
        Add(line);
    }

    public void Evaluation(int epoch, long step, CocoResult result)
    {
        var line = new JsonObject { ["type"] = "evaluation", ["epoch"] = epoch, ["step"] = step };
        foreach (var stat in result.Stats)
            line[stat.Name] = stat.Value;
        Add(line);
        folder.WriteMetrics((JsonObject)line.DeepClone());
        Draw();
    }

    private void Add(JsonObject line)
    {
        lines.Add(line);
        folder.Append(line);
    }

    private void Draw()
    {
        var steps = lines.Where(l => (string?)l["type"] == "step").ToArray();
        var evaluations = lines.Where(l => (string?)l["type"] == "evaluation").ToArray();
        var lossNames = steps.SelectMany(s => s.Select(p => p.Key)).Where(k => k.StartsWith("loss")).Distinct().ToArray();
        var panels = new[]
        {
            new ChartPanel("Training loss", "step", "", [.. lossNames.Select(name => new ChartSeries(name.Replace("loss_", ""), Smoothed(steps, name)))]) { WholeX = true },
            new ChartPanel("Validation", "step", "", [.. new[] { "AP", "AP50", "AP75" }.Select(name => new ChartSeries(name, Points(evaluations, name)))]) { YRange = (0, 1), WholeX = true },
            new ChartPanel("Learning rate", "step", "", [new ChartSeries("rate", Points(steps, "lr"))]) { WholeX = true },
            new ChartPanel("Gradient norm", "step", "", [new ChartSeries("norm", Smoothed(steps, "gradient_norm"))]) { WholeX = true },
        };
        ImageFile.SavePng(LineChart.Draw(panels), folder.Curves);
    }

    private static (double X, double Y)[] Points(IEnumerable<JsonObject> lines, string name) =>
        [.. lines.Select(l => ((double)l["step"]!.GetValue<long>(), Value(l, name)))];

    /// <summary>Means over about 200 stretches, so that a long run stays readable.</summary>
    private static (double X, double Y)[] Smoothed(JsonObject[] steps, string name)
    {
        int width = Math.Max(1, steps.Length / 200);
        return [.. Points(steps, name).Chunk(width).Select(c => (c[^1].X, c.Average(p => p.Y)))];
    }

    private static double Value(JsonObject line, string name) => line[name] is JsonValue value && value.TryGetValue(out double number) ? number : double.NaN;

    /// <summary>JSON has no NaN: a broken value becomes null.</summary>
    private static JsonNode? Finite(float value) => float.IsFinite(value) ? JsonValue.Create((double)value) : null;
}
