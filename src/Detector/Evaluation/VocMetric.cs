namespace CudaKernels.Detection;

/// An object of the ground truth; difficult ones need not be found and do not count when they are.
internal sealed record VocObject(long ImageId, int ClassIndex, Box Box, bool Difficult = false);

internal sealed record VocDetection(long ImageId, int ClassIndex, Box Box, double Score);

/// Pascal VOC average precision, specification 9.2. Per class over the whole set, detections by descending score (equal scores keep
/// their order): each looks at the object of its image with the highest overlap (the first of equals, difficult ones included).
/// Overlap at the threshold or above: difficult object - ignored; free object - true positive; taken object - false positive.
/// Anything else is a false positive. An overlap of exactly the threshold matches, as in the development kit (some ports ask for more).
internal static class VocMetric
{
    /// pixelOffset is added to x2-x1 and y2-y1: 0 for continuous boxes (as Box is), 1 for the development kit's inclusive pixels.
    public static VocResult Evaluate(
        int classCount, IReadOnlyList<VocObject> objects, IReadOnlyList<VocDetection> detections, double iouThreshold = 0.5, double pixelOffset = 0)
    {
        var objectsOf = objects.ToLookup(item => (item.ClassIndex, item.ImageId));
        var positives = new int[classCount];
        foreach (var item in objects)
            if (!item.Difficult) positives[item.ClassIndex]++;
        var detectionsOf = detections.ToLookup(item => item.ClassIndex);
        return new VocResult([.. Enumerable.Range(0, classCount).Select(EvaluateClass)]);

        VocClassResult EvaluateClass(int classIndex)
        {
            var images = new Dictionary<long, (VocObject[] Objects, bool[] Taken)>();
            var found = detectionsOf[classIndex].ToArray();
            int truePositives = 0, falsePositives = 0, ignored = 0;
            var recall = new List<double>();
            var precision = new List<double>();
            foreach (var i in StableOrder.Descending([.. found.Select(item => item.Score)]))
            {
                if (!images.TryGetValue(found[i].ImageId, out var image))
                {
                    VocObject[] inImage = [.. objectsOf[(classIndex, found[i].ImageId)]];
                    images[found[i].ImageId] = image = (inImage, new bool[inImage.Length]);
                }
                var (best, overlap) = BestObject(found[i].Box, image.Objects, pixelOffset);
                var matches = best >= 0 && overlap >= iouThreshold;
                if (matches && image.Objects[best].Difficult)
                {
                    ignored++;
                    continue;
                }
                if (matches && !image.Taken[best]) truePositives++;
                else falsePositives++;
                if (matches) image.Taken[best] = true;
                if (positives[classIndex] == 0) continue;
                recall.Add((double)truePositives / positives[classIndex]);
                precision.Add((double)truePositives / (truePositives + falsePositives));
            }
            return new VocClassResult(positives[classIndex], found.Length, truePositives, falsePositives, ignored, [.. recall], [.. precision]);
        }
    }

    /// Intersection over union of two boxes with `pixelOffset` added to every width and height.
    public static double Overlap(Box a, Box b, double pixelOffset)
    {
        var width = Math.Min(a.X2, b.X2) - Math.Max(a.X1, b.X1) + pixelOffset;
        var height = Math.Min(a.Y2, b.Y2) - Math.Max(a.Y1, b.Y1) + pixelOffset;
        if (width <= 0 || height <= 0) return 0;
        var intersection = width * height;
        return intersection / (Area(a) + Area(b) - intersection);

        double Area(Box box) => (box.Width + pixelOffset) * (box.Height + pixelOffset);
    }

    private static (int Index, double Overlap) BestObject(Box box, VocObject[] objects, double pixelOffset)
    {
        var best = (Index: -1, Overlap: double.NegativeInfinity);
        for (var i = 0; i < objects.Length; i++)
        {
            var overlap = Overlap(box, objects[i].Box, pixelOffset);
            if (overlap > best.Overlap) best = (i, overlap);
        }
        return best;
    }
}
