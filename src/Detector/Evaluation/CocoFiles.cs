using System.Text.Json;

namespace CudaKernels.Detection;

/// Reads COCO ground truth (instances) and results files without building a document tree. What an evaluation cannot do without is
/// checked and reported with file, entry and key; unknown keys are skipped. A missing `iscrowd` is 0, a missing `area` is that of the box.
internal static class CocoFiles
{
    /// masks: also read segmentations, which box evaluation does not need.
    public static CocoGroundTruth ReadGroundTruth(string path, bool masks = false)
    {
        var cursor = JsonCursor.Open(path);
        var images = new List<CocoImage>();
        var categories = new List<CocoCategory>();
        var annotations = new List<CocoAnnotation>();
        var seen = new HashSet<string>();
        cursor.Expect(JsonTokenType.StartObject, "an object with images, annotations and categories");
        while (cursor.NextKey(out var key))
        {
            if (!seen.Add(key)) throw cursor.Error($"the key {key} stands twice in the file");
            if (key == "images") cursor.EachObject(key, (ref JsonCursor item) => images.Add(ReadImage(ref item)));
            else if (key == "categories") cursor.EachObject(key, (ref JsonCursor item) => categories.Add(ReadCategory(ref item)));
            else if (key == "annotations") cursor.EachObject(key, (ref JsonCursor item) => annotations.Add(ReadAnnotation(ref item, masks)));
            else cursor.Skip();
        }
        cursor.End();
        foreach (var key in new[] { "images", "annotations", "categories" })
            if (!seen.Contains(key)) throw new DataException($"{path}: the key {key} is missing; a COCO ground truth has images, annotations and categories");
        CheckIds(path, images, categories, annotations);
        return new CocoGroundTruth(images, categories, annotations);
    }

    /// Detections of known images and classes only; anything else means that the two files do not belong together.
    public static IReadOnlyList<CocoDetection> ReadDetections(string path, CocoGroundTruth truth, OverlapKind kind = OverlapKind.Box)
    {
        var images = truth.Images.Select(image => image.Id).ToHashSet();
        var categories = truth.Categories.Select(category => category.Id).ToHashSet();
        var detections = new List<CocoDetection>();
        var cursor = JsonCursor.Open(path);
        cursor.EachObject("detection", (ref JsonCursor item) =>
        {
            var detection = ReadDetection(ref item, kind);
            if (!images.Contains(detection.ImageId)) throw item.Error($"image_id {detection.ImageId} is not among the images of the ground truth");
            if (!categories.Contains(detection.CategoryId))
                throw item.Error($"category_id {detection.CategoryId} is not among the categories of the ground truth ({string.Join(", ", categories.Order().Take(10))}"
                    + (categories.Count > 10 ? ", ...)" : ")"));
            detections.Add(detection);
        });
        cursor.End();
        return detections;
    }

    private static CocoImage ReadImage(ref JsonCursor item)
    {
        long? id = null;
        var name = "";
        long width = 0, height = 0;
        while (item.NextKey(out var key))
        {
            if (key == "id") id = item.Integer();
            else if (key == "file_name") name = item.Text();
            else if (key == "width") width = item.Integer();
            else if (key == "height") height = item.Integer();
            else item.Skip();
        }
        if (width is < 0 or > int.MaxValue || height is < 0 or > int.MaxValue) throw item.Error($"the size {width}x{height} is impossible");
        return new CocoImage(item.Required(id, "id"), name, (int)width, (int)height);
    }

    private static CocoCategory ReadCategory(ref JsonCursor item)
    {
        long? id = null;
        string? name = null;
        while (item.NextKey(out var key))
        {
            if (key == "id") id = item.Integer();
            else if (key == "name") name = item.Text();
            else item.Skip();
        }
        return new CocoCategory(item.Required(id, "id"), name ?? throw item.Missing("name"));
    }

    private static CocoAnnotation ReadAnnotation(ref JsonCursor item, bool masks)
    {
        long? id = null, image = null, category = null;
        double[]? box = null;
        double? area = null;
        long crowd = 0;
        CocoSegmentation? segmentation = null;
        while (item.NextKey(out var key))
        {
            if (key == "id") id = item.Integer();
            else if (key == "image_id") image = item.Integer();
            else if (key == "category_id") category = item.Integer();
            else if (key == "bbox") box = item.Box();
            else if (key == "area") area = item.Number();
            else if (key == "iscrowd") crowd = item.Integer();
            else if (key == "segmentation" && masks) segmentation = item.Segmentation();
            else item.Skip();
        }
        box ??= masks ? new double[4] : throw item.Missing("bbox");
        if (masks && segmentation is null) throw item.Missing("segmentation");
        return new CocoAnnotation(
            item.Required(id, "id"), item.Required(image, "image_id"), item.Required(category, "category_id"),
            box[0], box[1], box[2], box[3], area ?? box[2] * box[3], crowd != 0)
        {
            Segmentation = segmentation,
        };
    }

    private static CocoDetection ReadDetection(ref JsonCursor item, OverlapKind kind)
    {
        long? image = null, category = null;
        double[]? box = null;
        double? score = null;
        CocoSegmentation? segmentation = null;
        while (item.NextKey(out var key))
        {
            if (key == "image_id") image = item.Integer();
            else if (key == "category_id") category = item.Integer();
            else if (key == "bbox") box = item.Box();
            else if (key == "score") score = item.Number();
            else if (key == "segmentation" && kind == OverlapKind.Mask) segmentation = item.Segmentation();
            else item.Skip();
        }
        box ??= kind == OverlapKind.Mask ? new double[4] : throw item.Missing("bbox");
        if (kind == OverlapKind.Mask && segmentation is null) throw item.Missing("segmentation");
        if (segmentation is { Mask: null }) throw item.Error("segmentation is a polygon; results give masks run-length encoded, as size and counts");
        return new CocoDetection(
            item.Required(image, "image_id"), item.Required(category, "category_id"), box[0], box[1], box[2], box[3], score ?? throw item.Missing("score"))
        {
            Mask = segmentation?.Mask,
        };
    }

    private static void CheckIds(string path, List<CocoImage> images, List<CocoCategory> categories, List<CocoAnnotation> annotations)
    {
        var imageIds = Unique(path, "images", images.Select(image => image.Id));
        var categoryIds = Unique(path, "categories", categories.Select(category => category.Id));
        Unique(path, "annotations", annotations.Select(annotation => annotation.Id));
        for (var i = 0; i < annotations.Count; i++)
        {
            if (!imageIds.Contains(annotations[i].ImageId))
                throw new DataException($"{path}: annotations[{i}]: image_id {annotations[i].ImageId} is not among the images");
            if (!categoryIds.Contains(annotations[i].CategoryId))
                throw new DataException($"{path}: annotations[{i}]: category_id {annotations[i].CategoryId} is not among the categories");
        }
    }

    private static HashSet<long> Unique(string path, string section, IEnumerable<long> ids)
    {
        var seen = new HashSet<long>();
        var index = 0;
        foreach (var id in ids)
        {
            if (!seen.Add(id)) throw new DataException($"{path}: {section}[{index}]: id {id} is used twice");
            index++;
        }
        return seen;
    }
}
