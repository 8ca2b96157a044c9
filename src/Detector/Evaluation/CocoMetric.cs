namespace CudaKernels.Detection;

/// COCO average precision and recall for boxes and masks, specification 9.1: detections are matched per image and class
/// (CocoMatcher), collected per class over images in ascending id (CocoAccumulator) and averaged (CocoResult).
/// Objects and detections are told apart by position, so ids of 0 are as good as any other.
internal sealed class CocoMetric
{
    private readonly EvalParameters parameters;
    private readonly CocoGroundTruth truth;
    private readonly IReadOnlyList<CocoDetection> detections;
    private readonly long[] categoryIds;
    private readonly long[] imageIds;
    private readonly CocoMatcher matcher;

    private CocoMetric(CocoGroundTruth truth, IReadOnlyList<CocoDetection> detections, EvalParameters parameters)
    {
        this.truth = truth;
        this.detections = detections;
        this.parameters = parameters;
        categoryIds = Select(truth.Categories.Select(category => category.Id), parameters.CategoryIds);
        imageIds = Select(truth.Images.Select(image => image.Id), parameters.ImageIds);
        matcher = new CocoMatcher(parameters);
    }

    public static CocoResult Evaluate(
        CocoGroundTruth truth, IReadOnlyList<CocoDetection> detections, EvalParameters? parameters = null)
    {
        parameters ??= new EvalParameters();
        parameters.Validate();
        return new CocoMetric(truth, detections, parameters).Run();
    }

    private static long[] Select(IEnumerable<long> all, IReadOnlyCollection<long>? wanted)
    {
        var ids = wanted is null ? all : all.Intersect(wanted);
        return [.. ids.Distinct().Order()];
    }

    private CocoResult Run()
    {
        var annotationGroups = Group(truth.Annotations, annotation => (annotation.ImageId, annotation.CategoryId));
        var detectionGroups = Group(detections, detection => (detection.ImageId, detection.CategoryId));
        var names = truth.Categories.ToDictionary(category => category.Id, category => category.Name);
        CocoCategory[] categories = parameters.UseCategories
            ? [.. categoryIds.Select(id => new CocoCategory(id, names[id]))]
            : [new CocoCategory(-1, "all")];
        var result = new CocoResult(parameters, categories);
        var overlap = new CocoOverlap(parameters.Kind, truth);
        int annotationAt = 0, detectionAt = 0;
        for (var category = 0; category < categories.Length; category++)
        {
            var accumulator = new CocoAccumulator(parameters);
            for (var image = 0; image < imageIds.Length; image++)
            {
                var group = (long)category * imageIds.Length + image;
                var objects = annotationGroups.Take(group, ref annotationAt);
                var found = detectionGroups.Take(group, ref detectionAt);
                if (objects.Length + found.Length > 0) EvaluateImage(accumulator, overlap, objects, found);
            }
            accumulator.Write(result, category);
        }
        return result;
    }

    private void EvaluateImage(CocoAccumulator accumulator, CocoOverlap overlap, ReadOnlySpan<CocoAnnotation> objects, ReadOnlySpan<CocoDetection> found)
    {
        var scores = new double[found.Length];
        for (var i = 0; i < found.Length; i++) scores[i] = found[i].Score;
        var order = StableOrder.Descending(scores);
        var kept = new CocoDetection[Math.Min(found.Length, parameters.MaxDetections[^1])];
        for (var i = 0; i < kept.Length; i++)
        {
            kept[i] = found[order[i]];
            scores[i] = kept[i].Score;
        }
        var outcomes = new DetectionOutcome[kept.Length * parameters.Areas.Count * parameters.IouThresholds.Count];
        var crowds = new bool[objects.Length];
        var objectAreas = new double[objects.Length];
        for (var i = 0; i < objects.Length; i++)
        {
            crowds[i] = objects[i].IsCrowd;
            objectAreas[i] = objects[i].Area;
        }
        var detectionAreas = Array.ConvertAll(kept, overlap.Area);
        matcher.Match(overlap.Compute(kept, objects), detectionAreas, objectAreas, crowds, outcomes, accumulator.Positives);
        accumulator.Add(scores.AsSpan(0, kept.Length), outcomes);
    }

    /// Items of the evaluated images and classes, sorted by (class, image) and then file order; with merged classes by image,
    /// then class, then file order, which decides ties.
    private Groups<T> Group<T>(IReadOnlyList<T> items, Func<T, (long Image, long Category)> key)
    {
        var imagePosition = Positions(imageIds);
        var categoryPosition = Positions(categoryIds);
        var keys = new List<(long Group, int Category, int Item)>(items.Count);
        for (var i = 0; i < items.Count; i++)
        {
            var (imageId, categoryId) = key(items[i]);
            if (!imagePosition.TryGetValue(imageId, out var image) || !categoryPosition.TryGetValue(categoryId, out var category)) continue;
            keys.Add((parameters.UseCategories ? (long)category * imageIds.Length + image : image, category, i));
        }
        keys.Sort();
        return new Groups<T>([.. keys.Select(entry => items[entry.Item])], [.. keys.Select(entry => entry.Group)]);
    }

    private static Dictionary<long, int> Positions(long[] ids) => ids.Select((id, position) => (id, position)).ToDictionary(pair => pair.id, pair => pair.position);

    private sealed record Groups<T>(T[] Items, long[] Keys)
    {
        /// The items of a group; groups are asked for in ascending order and `at` walks along.
        public ReadOnlySpan<T> Take(long group, ref int at)
        {
            var start = at;
            while (at < Keys.Length && Keys[at] == group) at++;
            return Items.AsSpan(start, at - start);
        }
    }
}
