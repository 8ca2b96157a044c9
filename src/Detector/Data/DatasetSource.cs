namespace CudaKernels.Detection;

/// <summary>
/// Opens what a user names as data: a VOC folder, a YOLO data.yaml, or a YAML with <c>train: {images, annotations}</c> (and val, test)
/// for COCO JSON. A folder that holds a data.yaml stands for that file. Nothing is ever written into a data set.
/// </summary>
internal static class DatasetSource
{
    /// <summary>Opens one split.</summary>
    /// <param name="data">The path.</param>
    /// <param name="split">train, val, test, or (VOC only) any list in ImageSets/Main.</param>
    /// <param name="log">Collects the problems instead of throwing at the first fatal one.</param>
    /// <exception cref="DataException">Not a data set, no such split, or the first fatal problem in it.</exception>
    public static IDataset Open(string data, string split, ProblemLog? log = null)
    {
        if (IsVoc(data)) return VocDataset.Open(data, split, log);
        var yaml = DataYaml.Load(YamlPath(data));
        if (!yaml.IsCoco) return YoloDataset.Open(yaml, split, log);
        var (images, annotations) = yaml.CocoSplit(split);
        return CocoDataset.Open($"{yaml.Path} ({split})", images, annotations, log);
    }

    /// <summary>The splits that the data set has.</summary>
    /// <exception cref="DataException">Not a data set.</exception>
    public static IReadOnlyList<string> Splits(string data)
    {
        var splits = IsVoc(data) ? VocDataset.Splits(data) : DataYaml.Load(YamlPath(data)).Splits;
        return splits.Count > 0 ? splits : throw new DataException($"{data}: no list train.txt, val.txt, test.txt or trainval.txt in ImageSets/Main");
    }

    /// <summary>Refuses two splits whose class lists differ, since a model trained on one would answer in the names of the other.</summary>
    /// <exception cref="DataException">The lists differ; names the first difference.</exception>
    public static void RequireSameClasses(IDataset first, IDataset second)
    {
        for (var i = 0; i < Math.Max(first.Classes.Count, second.Classes.Count); i++)
        {
            var (a, b) = (first.Classes.ElementAtOrDefault(i) ?? "none", second.Classes.ElementAtOrDefault(i) ?? "none");
            if (a != b) throw new DataException($"the class lists differ: class {i} is {a} in {first.Name} but {b} in {second.Name}");
        }
    }

    private static bool IsVoc(string data) => Directory.Exists(data) && VocDataset.Recognises(data);

    private static string YamlPath(string data)
    {
        const string forms = "expected a VOC folder (Annotations, JPEGImages, ImageSets), a YOLO data.yaml, or a YAML with train: {images, annotations} for COCO JSON";
        if (Directory.Exists(data))
        {
            var inside = Path.Combine(data, "data.yaml");
            return File.Exists(inside) ? inside : throw new DataException($"{data}: is no data set; {forms}");
        }

        if (!File.Exists(data)) throw new DataException($"{data}: does not exist; {forms}");
        return Path.GetExtension(data).ToLowerInvariant() is ".yaml" or ".yml" ? data : throw new DataException($"{data}: is no data set; {forms}");
    }
}
