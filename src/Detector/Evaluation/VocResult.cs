namespace CudaKernels.Detection;

/// One class of a VOC evaluation; Recall and Precision after each detection that counts, by descending score.
/// The averages are null where no object counts.
internal sealed record VocClassResult(
    int Positives, int Detections, int TruePositives, int FalsePositives, int Ignored, double[] Recall, double[] Precision)
{
    /// VOC 2007: mean over t = 0, 0.1, ..., 1 of the best precision with recall >= t. t = k*0.1 in doubles as in the common
    /// implementations, so 0.3, 0.6 and 0.7 are a hair larger and a recall of exactly 3/10 does not reach them.
    public double? ElevenPoint => MeanAt(k => k * 0.1);

    /// The same with thresholds k/10, which a recall of exactly 3/10 reaches.
    public double? ElevenPointExact => MeanAt(k => k / 10.0);

    /// VOC 2010 and later: the area under the precision curve made non-increasing from the right.
    public double? AllPoint
    {
        get
        {
            if (Positives == 0) return null;
            double area = 0, envelope = 0;
            for (var i = Recall.Length - 1; i >= 0; i--)
            {
                envelope = Math.Max(envelope, Precision[i]);
                area += (Recall[i] - (i > 0 ? Recall[i - 1] : 0)) * envelope;
            }
            return area;
        }
    }

    private double? MeanAt(Func<int, double> threshold)
    {
        if (Positives == 0) return null;
        double sum = 0;
        for (var k = 0; k <= 10; k++)
        {
            var best = 0.0;
            for (var i = 0; i < Recall.Length; i++)
                if (Recall[i] >= threshold(k)) best = Math.Max(best, Precision[i]);
            sum += best;
        }
        return sum / 11;
    }
}

/// A VOC evaluation; means over the classes that have objects to count, null when there is none.
internal sealed record VocResult(IReadOnlyList<VocClassResult> Classes)
{
    public double? MeanElevenPoint => Mean(result => result.ElevenPoint);

    public double? MeanElevenPointExact => Mean(result => result.ElevenPointExact);

    public double? MeanAllPoint => Mean(result => result.AllPoint);

    private double? Mean(Func<VocClassResult, double?> value) => Classes.Select(value).Average();
}
