namespace CudaKernels.Detection;

/// Collects the matched detections of one class over all images and turns them into precision at the recall points.
/// tp and fp are running sums by descending score (ties: image order, then rank); recall = tp/objects,
/// precision = tp/(tp+fp+2^-52) made non-increasing from the right; a recall point takes the first entry that reaches it.
internal sealed class CocoAccumulator(EvalParameters parameters)
{
    private readonly int rowLength = parameters.Areas.Count * parameters.IouThresholds.Count;
    private readonly List<double> scores = [];
    private readonly List<int> ranks = [];
    private readonly List<DetectionOutcome> outcomes = [];

    /// Objects that count, per area.
    public int[] Positives { get; } = new int[parameters.Areas.Count];

    /// True once any image had an object or a detection of the class.
    public bool Any { get; private set; }

    /// One image: scores descending; outcomes [detection, area, threshold].
    public void Add(ReadOnlySpan<double> imageScores, ReadOnlySpan<DetectionOutcome> imageOutcomes)
    {
        Any = true;
        scores.AddRange(imageScores);
        for (var rank = 0; rank < imageScores.Length; rank++) ranks.Add(rank);
        outcomes.AddRange(imageOutcomes);
    }

    /// Writes the class's slices of the result; what has no objects keeps -1.
    public void Write(CocoResult result, int category)
    {
        if (!Any) return;
        var order = StableOrder.Descending(scores);
        var recall = new double[order.Length];
        var precision = new double[order.Length];
        var score = new double[order.Length];
        for (var area = 0; area < Positives.Length; area++)
        {
            if (Positives[area] == 0) continue;
            for (var limit = 0; limit < parameters.MaxDetections.Count; limit++)
                for (var threshold = 0; threshold < parameters.IouThresholds.Count; threshold++)
                {
                    var count = Accumulate(order, area, limit, threshold, recall, precision, score);
                    var curve = new Curve(recall.AsSpan(0, count), precision.AsSpan(0, count), score.AsSpan(0, count));
                    WriteCurve(result, curve, threshold, category, area, limit);
                }
        }
    }

    private readonly ref struct Curve(ReadOnlySpan<double> recall, ReadOnlySpan<double> precision, ReadOnlySpan<double> score)
    {
        public readonly ReadOnlySpan<double> Recall = recall;
        public readonly ReadOnlySpan<double> Precision = precision;
        public readonly ReadOnlySpan<double> Score = score;
    }

    private int Accumulate(int[] order, int area, int limit, int threshold, double[] recall, double[] precision, double[] score)
    {
        const double Epsilon = 2.220446049250313e-16;
        double truePositives = 0, falsePositives = 0;
        var count = 0;
        foreach (var i in order)
        {
            if (ranks[i] >= parameters.MaxDetections[limit]) continue;
            var outcome = outcomes[i * rowLength + area * parameters.IouThresholds.Count + threshold];
            if (outcome == DetectionOutcome.TruePositive) truePositives++;
            else if (outcome == DetectionOutcome.FalsePositive) falsePositives++;
            recall[count] = truePositives / Positives[area];
            precision[count] = truePositives / (truePositives + falsePositives + Epsilon);
            score[count++] = scores[i];
        }
        for (var i = count - 1; i > 0; i--) precision[i - 1] = Math.Max(precision[i - 1], precision[i]);
        return count;
    }

    private void WriteCurve(CocoResult result, Curve curve, int threshold, int category, int area, int limit)
    {
        result.Recall[result.RecallIndex(threshold, category, area, limit)] = curve.Recall.IsEmpty ? 0 : curve.Recall[^1];
        var position = 0;
        for (var point = 0; point < parameters.RecallPoints.Count; point++)
        {
            while (position < curve.Recall.Length && curve.Recall[position] < parameters.RecallPoints[point]) position++;
            var reached = position < curve.Recall.Length;
            var index = result.PrecisionIndex(threshold, point, category, area, limit);
            result.Precision[index] = reached ? curve.Precision[position] : 0;
            result.Scores[index] = reached ? curve.Score[position] : 0;
        }
    }
}
