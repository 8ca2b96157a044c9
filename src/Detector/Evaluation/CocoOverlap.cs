namespace CudaKernels.Detection;

/// Overlap and area of detections and objects, as boxes (continuous, no +1) or as masks.
/// A crowd is compared by intersection over the detection's area, since a detection need not cover the whole crowd.
internal sealed class CocoOverlap(OverlapKind kind, CocoGroundTruth truth)
{
    private readonly Dictionary<long, CocoImage> images = kind == OverlapKind.Mask ? truth.Images.ToDictionary(image => image.Id) : [];

    public double Area(CocoDetection detection) => kind == OverlapKind.Box ? detection.Width * detection.Height : MaskOf(detection).Area;

    /// [detection, object].
    public double[] Compute(ReadOnlySpan<CocoDetection> detections, ReadOnlySpan<CocoAnnotation> objects)
    {
        var overlaps = new double[detections.Length * objects.Length];
        if (overlaps.Length == 0) return overlaps;
        var masks = kind == OverlapKind.Mask ? MasksOf(objects) : [];
        var index = 0;
        foreach (var detection in detections)
            for (var i = 0; i < objects.Length; i++)
                overlaps[index++] = kind == OverlapKind.Box
                    ? BoxOverlap(detection, objects[i])
                    : Rle.Overlap(MaskOf(detection), masks[i], objects[i].IsCrowd);
        return overlaps;
    }

    /// Intersection over union of boxes x, y, width, height; over the first box's area when the second is a crowd.
    public static double Overlap(
        double x1, double y1, double width1, double height1, double x2, double y2, double width2, double height2, bool crowd)
    {
        var width = Math.Min(x1 + width1, x2 + width2) - Math.Max(x1, x2);
        var height = Math.Min(y1 + height1, y2 + height2) - Math.Max(y1, y2);
        if (width <= 0 || height <= 0) return 0;
        var intersection = width * height;
        var area = width1 * height1;
        return intersection / (crowd ? area : area + width2 * height2 - intersection);
    }

    private static double BoxOverlap(CocoDetection a, CocoAnnotation b) =>
        Overlap(a.X, a.Y, a.Width, a.Height, b.X, b.Y, b.Width, b.Height, b.IsCrowd);

    private static Rle MaskOf(CocoDetection detection) => detection.Mask
        ?? throw new ArgumentException($"CocoMetric: mask evaluation needs a mask in every detection; one of image {detection.ImageId} has none");

    private Rle[] MasksOf(ReadOnlySpan<CocoAnnotation> objects)
    {
        var masks = new Rle[objects.Length];
        for (var i = 0; i < masks.Length; i++)
        {
            var image = images[objects[i].ImageId];
            masks[i] = (objects[i].Segmentation
                ?? throw new ArgumentException($"CocoMetric: mask evaluation needs a segmentation in annotation {objects[i].Id}"))
                .ToRle(image.Height, image.Width);
        }
        return masks;
    }
}
