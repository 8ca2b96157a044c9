using System.Text.Json;

namespace CudaKernels.Detection;

/// Precision and score at the recall points of one class that has objects.
internal sealed record PrecisionRecallCurve(string Name, double AveragePrecision, double[] Precision, double[] Scores);

/// The precision-recall curves of a COCO evaluation at one IoU threshold (all sizes, largest limit). Classes without objects are left out.
internal sealed record PrecisionRecall(double Iou, IReadOnlyList<double> Recall, IReadOnlyList<PrecisionRecallCurve> Classes)
{
    /// Mean over the classes at each recall point; 0 where there is no class.
    public double[] MeanPrecision => [.. Recall.Select((_, point) => Classes.Select(curve => curve.Precision[point]).DefaultIfEmpty(0).Average())];

    /// Mean of the classes' averages; -1 where there is no class.
    public double MeanAveragePrecision => Classes.Select(curve => curve.AveragePrecision).DefaultIfEmpty(-1).Average();

    public static PrecisionRecall Of(CocoResult result, double iou = 0.5)
    {
        var curves = new List<PrecisionRecallCurve>();
        for (var category = 0; category < result.Categories.Count; category++)
        {
            var average = result.AveragePrecision(iou, category: category);
            if (average < 0) continue;
            curves.Add(new(result.Categories[category].Name, average, result.Curve(result.Precision, category, iou), result.Curve(result.Scores, category, iou)));
        }
        return new PrecisionRecall(iou, result.Parameters.RecallPoints, curves);
    }

    /// {"iou", "recall": [...], "classes": [{"name", "AP", "precision": [...], "score": [...]}]}.
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteNumber("iou", Iou);
        WriteNumbers(json, "recall", Recall);
        json.WriteStartArray("classes");
        foreach (var curve in Classes)
        {
            json.WriteStartObject();
            json.WriteString("name", curve.Name);
            json.WriteNumber("AP", curve.AveragePrecision);
            WriteNumbers(json, "precision", curve.Precision);
            WriteNumbers(json, "score", curve.Scores);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public string ToJson() => JsonText.Write(WriteJson);

    private static void WriteNumbers(Utf8JsonWriter json, string name, IReadOnlyList<double> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values) json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}
