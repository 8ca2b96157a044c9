using System.Globalization;

namespace CudaKernels.Detection;

/// <summary>
/// Pictures with one text file each: a line "class cx cy w h" an object, all divided by the picture's width and height; a line with
/// more numbers is a polygon "class x1 y1 x2 y2 ...". The label file stands where the picture does, with the last folder "images" of
/// its path replaced by "labels" (or beside the picture if there is none). A picture without label file has no objects.
/// </summary>
internal sealed class YoloDataset : IDataset
{
    private static readonly string[] PictureExtensions = [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif"];
    private readonly Sample[] samples;

    private YoloDataset(string name, string[] classes, Sample[] samples)
    {
        Name = name;
        Classes = classes;
        CategoryIds = [.. Enumerable.Range(1, classes.Length).Select(id => (long)id)];
        this.samples = samples;
    }

    public string Name { get; }

    public int Count => samples.Length;

    public IReadOnlyList<string> Classes { get; }

    public IReadOnlyList<long> CategoryIds { get; }

    public Sample Read(int index) => samples[index];

    /// <summary>Reads and checks one split; see <see cref="ProblemLog"/> for what is fatal. Sizes come from the pictures' headers.</summary>
    /// <exception cref="DataException">The first fatal problem, unless the log collects.</exception>
    public static YoloDataset Open(DataYaml yaml, string split, ProblemLog? log = null)
    {
        log ??= new ProblemLog();
        var classes = yaml.Names();
        var samples = new List<Sample>();
        var seen = new HashSet<string>();
        var anyLabels = false;
        foreach (var (picture, source, place) in ListPictures(yaml, split))
        {
            if (!seen.Add(picture))
            {
                log.Fatal(source, place, $"the picture {picture} is listed twice");
                continue;
            }

            if (!File.Exists(picture))
            {
                log.Fatal(source, place, $"the picture {picture} does not exist");
                continue;
            }

            int width, height;
            try
            {
                (width, height) = ImageFile.ReadSize(picture);
            }
            catch (DataException error)
            {
                log.Fatal(picture, "", error.Message[(picture.Length + 2)..]);
                continue;
            }

            var labels = LabelPath(picture);
            IReadOnlyList<ObjectAnnotation> objects = [];
            if (File.Exists(labels))
            {
                anyLabels = true;
                objects = ReadLabels(labels, width, height, classes, log);
            }

            samples.Add(new Sample(picture, samples.Count + 1, width, height, objects));
        }

        if (samples.Count == 0) throw new DataException($"{yaml.Path}: {split}: the data set is empty, no picture found in {string.Join(", ", yaml.YoloSplit(split))}");
        if (!anyLabels) throw new DataException($"{yaml.Path}: {split}: no picture has a label file; the first was looked for at {LabelPath(samples[0].ImagePath)}");
        return new YoloDataset($"{yaml.Path} ({split})", classes, [.. samples]);
    }

    private static IEnumerable<(string Picture, string Source, string Place)> ListPictures(DataYaml yaml, string split)
    {
        var root = TextFile.Resolve(yaml.Folder, yaml.Text("path") ?? "");
        foreach (var entry in yaml.YoloSplit(split))
        {
            var path = TextFile.Resolve(root, entry);
            // Some exports write ../train/images although the folder lies beside the file.
            if (!Path.Exists(path) && entry.StartsWith("../", StringComparison.Ordinal)) path = TextFile.Resolve(root, entry[3..]);
            if (Directory.Exists(path))
            {
                foreach (var picture in Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Where(IsPicture).Order(StringComparer.Ordinal))
                    yield return (picture, path, "");
            }
            else if (File.Exists(path))
            {
                var lines = TextFile.ReadLines(path);
                for (var i = 0; i < lines.Length; i++)
                    if (lines[i].Trim() is { Length: > 0 } line) yield return (TextFile.Resolve(Path.GetDirectoryName(path)!, line), path, $"line {i + 1}");
            }
            else throw new DataException($"{yaml.Path}: {split}: {path} does not exist (paths are relative to the file, or to its key path)");
        }
    }

    private static bool IsPicture(string path) => PictureExtensions.Contains(Path.GetExtension(path).ToLowerInvariant());

    private static string LabelPath(string picture)
    {
        var images = $"{Path.DirectorySeparatorChar}images{Path.DirectorySeparatorChar}";
        var at = picture.LastIndexOf(images, StringComparison.Ordinal);
        var path = at < 0 ? picture : $"{picture[..at]}{Path.DirectorySeparatorChar}labels{Path.DirectorySeparatorChar}{picture[(at + images.Length)..]}";
        return Path.ChangeExtension(path, ".txt");
    }

    private static List<ObjectAnnotation> ReadLabels(string path, int width, int height, string[] classes, ProblemLog log)
    {
        var objects = new List<ObjectAnnotation>();
        var lines = TextFile.ReadLines(path);
        for (var i = 0; i < lines.Length; i++)
        {
            var fields = lines[i].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length == 0) continue;
            var place = $"line {i + 1}";
            var numbers = new double[fields.Length];
            var wrong = Array.FindIndex(fields, field => !double.TryParse(field, NumberStyles.Float, CultureInfo.InvariantCulture, out _));
            if (wrong >= 0)
            {
                log.Fatal(path, place, $"expected numbers, got \"{fields[wrong]}\"");
                continue;
            }

            for (var field = 0; field < fields.Length; field++) numbers[field] = double.Parse(fields[field], CultureInfo.InvariantCulture);
            if (fields.Length != 5 && (fields.Length < 7 || fields.Length % 2 == 0))
                log.Fatal(path, place, $"expected \"class cx cy w h\" (5 numbers) or a polygon (7, 9, ... numbers), got {fields.Length}");
            else if (numbers[0] != Math.Floor(numbers[0]) || numbers[0] < 0 || numbers[0] >= classes.Length)
                log.Fatal(path, place, $"unknown class id {fields[0]}; data.yaml names 0 to {classes.Length - 1}");
            else
            {
                var (box, segmentation) = fields.Length == 5 ? (FromCentre(numbers, width, height), null) : FromPolygon(numbers, width, height);
                if (log.Accepts(box, width, height, path, place))
                    objects.Add(new ObjectAnnotation((int)numbers[0], box, Crowd: false, Difficult: false, box.Area, segmentation));
            }
        }

        return objects;
    }

    private static Box FromCentre(double[] n, int width, int height) => new(
        (n[1] - n[3] / 2) * width, (n[2] - n[4] / 2) * height, (n[1] + n[3] / 2) * width, (n[2] + n[4] / 2) * height);

    private static (Box Box, Segmentation Segmentation) FromPolygon(double[] n, int width, int height)
    {
        var polygon = new double[n.Length - 1];
        for (var i = 0; i < polygon.Length; i++) polygon[i] = n[i + 1] * (i % 2 == 0 ? width : height);
        var x = polygon.Where((_, i) => i % 2 == 0);
        var y = polygon.Where((_, i) => i % 2 == 1);
        return (new Box(x.Min(), y.Min(), x.Max(), y.Max()), Segmentation.FromPolygons([polygon]));
    }
}
