namespace CudaKernels.Detection;

/// Precision over recall at one IoU threshold: each class and their mean. With many classes the single ones become thin grey lines.
internal static class PrecisionRecallPicture
{
    private const int ManyClasses = 12;

    private static readonly Color Faint = new(0, 0, 0, 40);

    public static ImageBuffer Draw(PrecisionRecall curves, int width = 860, int height = 560)
    {
        var many = curves.Classes.Count > ManyClasses;
        var series = curves.Classes
            .Select(curve => new ChartSeries(many ? "" : Legend(curve.Name, curve.AveragePrecision), Points(curves, curve.Precision), many ? Faint : null, many ? 1 : 2))
            .ToList();
        if (curves.Classes.Count > 1)
            series.Add(new ChartSeries(Legend("all classes", curves.MeanAveragePrecision), Points(curves, curves.MeanPrecision), many ? Color.OfClass(1) : Color.Black, 3.5));
        var title = FormattableString.Invariant($"Precision and recall at IoU {curves.Iou:0.##}");
        if (many || curves.Classes.Count == 1)
            title += $": {Legend(many ? $"mean of {curves.Classes.Count} classes" : curves.Classes[0].Name, curves.MeanAveragePrecision)}";
        return LineChart.Draw([new ChartPanel(title, "recall", "precision", series) { XRange = (0, 1), YRange = (0, 1) }], width, height);
    }

    private static string Legend(string name, double average) => $"{name} {CocoResult.Format(average)}";

    private static List<(double X, double Y)> Points(PrecisionRecall curves, double[] precision) => [.. curves.Recall.Zip(precision)];
}
