namespace CudaKernels.Detection;

/// <summary>
/// COCO instances JSON with a folder of pictures. Classes are ordered by category id, so files that list them differently agree;
/// gaps in the ids are closed and the original ids kept in <see cref="CategoryIds"/>. bbox [x, y, w, h] becomes (x, y, x + w, y + h).
/// </summary>
internal sealed class CocoDataset : IDataset
{
    private readonly Sample[] samples;

    private CocoDataset(string name, string[] classes, long[] categoryIds, Sample[] samples)
    {
        Name = name;
        Classes = classes;
        CategoryIds = categoryIds;
        this.samples = samples;
    }

    public string Name { get; }

    public int Count => samples.Length;

    public IReadOnlyList<string> Classes { get; }

    public IReadOnlyList<long> CategoryIds { get; }

    public Sample Read(int index) => samples[index];

    /// <summary>Reads and checks the annotations; see <see cref="ProblemLog"/> for what is fatal.</summary>
    /// <exception cref="DataException">The first fatal problem, unless the log collects.</exception>
    public static CocoDataset Open(string name, string imageFolder, string annotationPath, ProblemLog? log = null)
    {
        log ??= new ProblemLog();
        var file = CocoJson.Load(annotationPath);
        if (!Directory.Exists(imageFolder)) throw new DataException($"{imageFolder}: the folder of pictures does not exist");
        var categories = ReadCategories(file, annotationPath, log);
        var images = ReadImages(file, annotationPath, imageFolder, log);
        ReadAnnotations(file, annotationPath, images, categories, log);
        if (images.Count == 0) throw new DataException($"{annotationPath}: images: the data set is empty, expected at least one usable picture");
        return new CocoDataset(
            name,
            [.. categories.Values.Select(category => category.Name)],
            [.. categories.Keys],
            [.. images.Values.OrderBy(image => image.Order).Select(image => image.Sample)]);
    }

    private static SortedDictionary<long, (string Name, int Class)> ReadCategories(CocoJson file, string path, ProblemLog log)
    {
        if (file.Categories is null) throw new DataException($"{path}: the key categories is missing");
        var names = new SortedDictionary<long, string>();
        for (var i = 0; i < file.Categories.Count; i++)
        {
            var place = $"entry {i + 1} of categories";
            if (file.Categories[i] is not { Id: { } id, Name: { Length: > 0 } name }) log.Fatal(path, place, "needs an id and a name");
            else if (names.ContainsValue(name)) log.Fatal(path, place, $"the name {name} stands for two categories");
            else if (!names.TryAdd(id, name)) log.Fatal(path, place, $"duplicate category id {id}");
        }

        if (names.Count == 0) throw new DataException($"{path}: categories: empty, expected at least one class");
        var categories = new SortedDictionary<long, (string, int)>();
        foreach (var (id, name) in names) categories.Add(id, (name, categories.Count));
        return categories;
    }

    private static Dictionary<long, (int Order, Sample Sample, List<ObjectAnnotation> Objects)> ReadImages(CocoJson file, string path, string folder, ProblemLog log)
    {
        if (file.Images is null) throw new DataException($"{path}: the key images is missing");
        var images = new Dictionary<long, (int, Sample, List<ObjectAnnotation>)>();
        for (var i = 0; i < file.Images.Count; i++)
        {
            var place = $"entry {i + 1} of images";
            if (file.Images[i] is not { Id: { } id, FileName: { Length: > 0 } fileName } image)
            {
                log.Fatal(path, place, "needs an id and a file_name");
                continue;
            }

            place = $"image id {id} ({place})";
            var imagePath = TextFile.Resolve(folder, fileName);
            if (images.ContainsKey(id)) log.Fatal(path, place, $"duplicate image id {id}");
            else if (!File.Exists(imagePath)) log.Fatal(path, place, $"the picture {imagePath} does not exist");
            else if (image.Width is <= 0 || image.Height is <= 0) log.Fatal(path, place, $"width and height must be positive, got {image.Width} x {image.Height}");
            else
            {
                var (width, height) = image is { Width: { } w, Height: { } h } ? (w, h) : ImageFile.ReadSize(imagePath);
                var objects = new List<ObjectAnnotation>();
                images.Add(id, (i, new Sample(imagePath, id, width, height, objects), objects));
            }
        }

        return images;
    }

    private static void ReadAnnotations(
        CocoJson file,
        string path,
        Dictionary<long, (int Order, Sample Sample, List<ObjectAnnotation> Objects)> images,
        SortedDictionary<long, (string Name, int Class)> categories,
        ProblemLog log)
    {
        if (file.Annotations is null) throw new DataException($"{path}: the key annotations is missing (is this the list of pictures without labels?)");
        var ids = new HashSet<long>();
        for (var i = 0; i < file.Annotations.Count; i++)
        {
            var place = $"entry {i + 1} of annotations";
            if (file.Annotations[i] is not { Id: { } id, ImageId: { } imageId, CategoryId: { } categoryId, Box: { } b } annotation)
            {
                log.Fatal(path, place, "needs id, image_id, category_id and bbox");
                continue;
            }

            place = $"annotation id {id} ({place})";
            if (!ids.Add(id)) log.Fatal(path, place, $"duplicate annotation id {id}");
            else if (!images.TryGetValue(imageId, out var image)) log.Fatal(path, place, $"image_id {imageId} is not among the images");
            else if (!categories.TryGetValue(categoryId, out var category)) log.Fatal(path, place, $"category_id {categoryId} is not among the categories ({Listing(categories.Keys)})");
            else if (b.Length != 4) log.Fatal(path, place, $"bbox needs 4 numbers x, y, width, height, got {b.Length}");
            else if (annotation.Area is { } area && !(double.IsFinite(area) && area >= 0)) log.Fatal(path, place, FormattableString.Invariant($"area must be a number >= 0, got {area}"));
            else
            {
                var box = new Box(b[0], b[1], b[0] + b[2], b[1] + b[3]);
                if (log.Accepts(box, image.Sample.Width, image.Sample.Height, path, place))
                    image.Objects.Add(new ObjectAnnotation(
                        category.Class, box, annotation.Crowd != 0, annotation.Difficult != 0, annotation.Area ?? b[2] * b[3], annotation.Segmentation));
            }
        }
    }

    private static string Listing(ICollection<long> ids) => string.Join(", ", ids.Take(20)) + (ids.Count > 20 ? ", ..." : "");
}
