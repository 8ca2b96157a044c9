using System.Globalization;
using System.Text.Json;

namespace CudaKernels.Detection;

/// A named number of an evaluation; -1 where nothing could be measured.
internal readonly record struct Stat(string Name, double Value);

/// The arrays of a COCO evaluation and the means drawn from them. Entries of -1 (no object of that class and size) are left out of
/// every mean; a mean of nothing is -1.
internal sealed class CocoResult
{
    private readonly EvalParameters parameters;

    public CocoResult(EvalParameters parameters, IReadOnlyList<CocoCategory> categories)
    {
        this.parameters = parameters;
        Categories = categories;
        var recalls = parameters.IouThresholds.Count * categories.Count * parameters.Areas.Count * parameters.MaxDetections.Count;
        Recall = Filled(recalls);
        Precision = Filled(recalls * parameters.RecallPoints.Count);
        Scores = Filled(recalls * parameters.RecallPoints.Count);
    }

    public EvalParameters Parameters => parameters;

    public IReadOnlyList<CocoCategory> Categories { get; }

    /// [threshold, recall point, category, area, limit].
    public double[] Precision { get; }

    /// Score of the detection that reaches the recall point; layout of Precision.
    public double[] Scores { get; }

    /// [threshold, category, area, limit].
    public double[] Recall { get; }

    /// AP, AP50, AP75, AP per size; AR per limit, AR per size. AP and the sizes use the largest limit.
    public IReadOnlyList<Stat> Stats
    {
        get
        {
            List<Stat> stats = [new("AP", AveragePrecision()), new("AP50", AveragePrecision(iou: 0.5)), new("AP75", AveragePrecision(iou: 0.75))];
            for (var area = 1; area < parameters.Areas.Count; area++)
                stats.Add(new("AP" + parameters.Areas[area].Label, AveragePrecision(area: area)));
            for (var limit = 0; limit < parameters.MaxDetections.Count; limit++)
                stats.Add(new($"AR{parameters.MaxDetections[limit]}", AverageRecall(limit: limit)));
            for (var area = 1; area < parameters.Areas.Count; area++)
                stats.Add(new("AR" + parameters.Areas[area].Label, AverageRecall(area: area)));
            return stats;
        }
    }

    public double this[string name] => Stats.First(stat => stat.Name == name).Value;

    /// The numbers of one class: AP, AP50, AP75, AP per size, AR at the largest limit.
    public IReadOnlyList<Stat> ClassStats(int category)
    {
        List<Stat> stats =
        [
            new("AP", AveragePrecision(category: category)),
            new("AP50", AveragePrecision(iou: 0.5, category: category)),
            new("AP75", AveragePrecision(iou: 0.75, category: category)),
        ];
        for (var area = 1; area < parameters.Areas.Count; area++)
            stats.Add(new("AP" + parameters.Areas[area].Label, AveragePrecision(area: area, category: category)));
        stats.Add(new("AR", AverageRecall(category: category)));
        return stats;
    }

    /// Precision or Scores at the recall points for one class and threshold (all sizes, largest limit).
    public double[] Curve(double[] values, int category, double iou)
    {
        var threshold = ThresholdIndex(iou);
        if (threshold < 0) throw new ArgumentException($"CocoResult: IoU {iou} is not among the evaluated thresholds {string.Join(", ", parameters.IouThresholds)}");
        var limit = parameters.MaxDetections.Count - 1;
        return [.. Enumerable.Range(0, parameters.RecallPoints.Count).Select(point => values[PrecisionIndex(threshold, point, category, 0, limit)])];
    }

    /// Mean precision over recall points, thresholds (or the one of `iou`) and classes (or one) for a size class.
    public double AveragePrecision(double? iou = null, int area = 0, int? category = null)
    {
        var mean = new Mean();
        foreach (var threshold in Thresholds(iou))
            for (var point = 0; point < parameters.RecallPoints.Count; point++)
                foreach (var k in CategoryRange(category))
                    mean.Add(Precision[PrecisionIndex(threshold, point, k, area, parameters.MaxDetections.Count - 1)]);
        return mean.Value;
    }

    /// Mean of the last recall over thresholds and classes (or one class); `limit` counts MaxDetections, the last by default.
    public double AverageRecall(int area = 0, int? limit = null, int? category = null)
    {
        var mean = new Mean();
        foreach (var threshold in Thresholds(null))
            foreach (var k in CategoryRange(category))
                mean.Add(Recall[RecallIndex(threshold, k, area, limit ?? parameters.MaxDetections.Count - 1)]);
        return mean.Value;
    }

    public int RecallIndex(int threshold, int category, int area, int limit) =>
        ((threshold * Categories.Count + category) * parameters.Areas.Count + area) * parameters.MaxDetections.Count + limit;

    public int PrecisionIndex(int threshold, int point, int category, int area, int limit) =>
        RecallIndex(threshold * parameters.RecallPoints.Count + point, category, area, limit);

    /// Header and one row per class, then all classes; numbers with three digits, "-" where nothing could be measured.
    public IReadOnlyList<string[]> Table()
    {
        string[] header = ["class", .. Categories.Count > 0 ? ClassStats(0).Select(stat => stat.Name) : []];
        var rows = new List<string[]> { header };
        for (var category = 0; category < Categories.Count; category++)
            rows.Add([Categories[category].Name, .. ClassStats(category).Select(stat => Format(stat.Value))]);
        return rows;
    }

    public static string Format(double value) => value < 0 ? "-" : value.ToString("0.000", CultureInfo.InvariantCulture);

    /// {"stats": {"AP": ..., ...}, "per_class": [{"category_id", "name", "AP", ..., "AR", "AR_maxDets": [...]}]}, all digits.
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject("stats");
        foreach (var stat in Stats) json.WriteNumber(stat.Name, stat.Value);
        json.WriteEndObject();
        json.WriteStartArray("per_class");
        for (var category = 0; category < Categories.Count; category++)
        {
            json.WriteStartObject();
            json.WriteNumber("category_id", Categories[category].Id);
            json.WriteString("name", Categories[category].Name);
            foreach (var stat in ClassStats(category)) json.WriteNumber(stat.Name, stat.Value);
            json.WriteStartArray("AR_maxDets");
            for (var limit = 0; limit < parameters.MaxDetections.Count; limit++) json.WriteNumberValue(AverageRecall(limit: limit, category: category));
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public string ToJson() => JsonText.Write(WriteJson);

    private IEnumerable<int> Thresholds(double? iou)
    {
        if (iou is null) return Enumerable.Range(0, parameters.IouThresholds.Count);
        var index = ThresholdIndex(iou.Value);
        return index < 0 ? [] : [index];
    }

    private IEnumerable<int> CategoryRange(int? category) => category is { } one ? [one] : Enumerable.Range(0, Categories.Count);

    private int ThresholdIndex(double iou)
    {
        for (var i = 0; i < parameters.IouThresholds.Count; i++)
            if (parameters.IouThresholds[i] == iou) return i;
        return -1;
    }

    private static double[] Filled(int count)
    {
        var values = new double[count];
        Array.Fill(values, -1);
        return values;
    }

    private struct Mean
    {
        private double sum;
        private int count;

        public void Add(double value)
        {
            if (value <= -1) return;
            sum += value;
            count++;
        }

        public readonly double Value => count == 0 ? -1 : sum / count;
    }
}
