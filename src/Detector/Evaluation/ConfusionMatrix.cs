using System.Text.Json;

namespace CudaKernels.Detection;

/// How often each class is found as which. Row = true class, column = found class; the last row and column are the background:
/// a missed object counts in its row's last column, a detection without an object in the last row.
/// Per image, detections at or above the score threshold and objects are paired whatever their classes: the pair with the highest
/// overlap first (ties: higher score, then file order), each used once, down to the overlap threshold. Crowds are no objects here;
/// a detection left over that lies in a crowd is dropped.
internal sealed class ConfusionMatrix
{
    private ConfusionMatrix(IReadOnlyList<string> names, double scoreThreshold, double iouThreshold)
    {
        Names = names;
        ScoreThreshold = scoreThreshold;
        IouThreshold = iouThreshold;
        Counts = new long[names.Count, names.Count];
    }

    /// Classes in ascending id, then "background".
    public IReadOnlyList<string> Names { get; }

    public double ScoreThreshold { get; }

    public double IouThreshold { get; }

    /// [true, found].
    public long[,] Counts { get; }

    private int Background => Names.Count - 1;

    public static ConfusionMatrix Compute(
        CocoGroundTruth truth, IReadOnlyList<CocoDetection> detections, double scoreThreshold = 0.3, double iouThreshold = 0.5)
    {
        var classes = truth.Categories.OrderBy(category => category.Id).ToList();
        var matrix = new ConfusionMatrix([.. classes.Select(category => category.Name), "background"], scoreThreshold, iouThreshold);
        var classIndex = classes.Select((category, index) => (category.Id, index)).ToDictionary(pair => pair.Id, pair => pair.index);
        var objectsOf = truth.Annotations.ToLookup(annotation => annotation.ImageId);
        var detectionsOf = detections.Where(detection => detection.Score >= scoreThreshold).ToLookup(detection => detection.ImageId);
        foreach (var image in truth.Images) matrix.Add([.. objectsOf[image.Id]], [.. detectionsOf[image.Id]], classIndex);
        return matrix;
    }

    /// {"classes": [..., "background"], "score_threshold", "iou_threshold", "counts": rows of true classes}.
    public void WriteJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartArray("classes");
        foreach (var name in Names) json.WriteStringValue(name);
        json.WriteEndArray();
        json.WriteNumber("score_threshold", ScoreThreshold);
        json.WriteNumber("iou_threshold", IouThreshold);
        json.WriteStartArray("counts");
        for (var row = 0; row < Names.Count; row++)
        {
            json.WriteStartArray();
            for (var column = 0; column < Names.Count; column++) json.WriteNumberValue(Counts[row, column]);
            json.WriteEndArray();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public string ToJson() => JsonText.Write(WriteJson);

    private void Add(CocoAnnotation[] objects, CocoDetection[] detections, Dictionary<long, int> classIndex)
    {
        var takenObjects = new bool[objects.Length];
        var takenDetections = new bool[detections.Length];
        foreach (var (found, truth) in Candidates(objects, detections))
        {
            if (takenObjects[truth] || takenDetections[found]) continue;
            takenObjects[truth] = takenDetections[found] = true;
            Counts[classIndex[objects[truth].CategoryId], classIndex[detections[found].CategoryId]]++;
        }
        for (var i = 0; i < objects.Length; i++)
            if (!takenObjects[i] && !objects[i].IsCrowd) Counts[classIndex[objects[i].CategoryId], Background]++;
        for (var i = 0; i < detections.Length; i++)
            if (!takenDetections[i] && !objects.Any(item => item.IsCrowd && Overlap(detections[i], item) >= IouThreshold))
                Counts[Background, classIndex[detections[i].CategoryId]]++;
    }

    private IEnumerable<(int Detection, int Object)> Candidates(CocoAnnotation[] objects, CocoDetection[] detections)
    {
        var pairs = new List<(double Overlap, double Score, int Detection, int Object)>();
        for (var found = 0; found < detections.Length; found++)
            for (var truth = 0; truth < objects.Length; truth++)
            {
                var overlap = objects[truth].IsCrowd ? 0 : Overlap(detections[found], objects[truth]);
                if (overlap >= IouThreshold) pairs.Add((overlap, detections[found].Score, found, truth));
            }
        return pairs.OrderByDescending(pair => pair.Overlap).ThenByDescending(pair => pair.Score).Select(pair => (pair.Detection, pair.Object));
    }

    private static double Overlap(CocoDetection a, CocoAnnotation b) =>
        CocoOverlap.Overlap(a.X, a.Y, a.Width, a.Height, b.X, b.Y, b.Width, b.Height, b.IsCrowd);
}
