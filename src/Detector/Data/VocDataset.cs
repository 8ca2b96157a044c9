using System.Globalization;
using System.Xml;
using System.Xml.Linq;

namespace CudaKernels.Detection;

/// <summary>
/// A VOC folder: JPEGImages, Annotations (one XML per picture), ImageSets/Main/{split}.txt. VOC corners are 1-based and inclusive, so
/// xmin..xmax becomes the continuous xmin - 1 .. xmax.
/// </summary>
/// <remarks>
/// The format has no class list. Classes are the names found in all of Annotations (so that every split has the same ones), in
/// ordinal order; a file classes.txt in the folder, one name a line, fixes names and order instead, and other names are then an error.
/// </remarks>
internal sealed class VocDataset : IDataset
{
    private readonly Sample[] samples;

    private VocDataset(string name, string[] classes, Sample[] samples)
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

    /// <summary>Whether a folder looks like this format.</summary>
    public static bool Recognises(string folder) =>
        Directory.Exists(Path.Combine(folder, "Annotations")) || Directory.Exists(Path.Combine(folder, "ImageSets"));

    /// <summary>The splits train, val, test, trainval that the folder has.</summary>
    public static IReadOnlyList<string> Splits(string folder) =>
        [.. new[] { "train", "val", "test", "trainval" }.Where(split => File.Exists(SplitPath(folder, split)))];

    /// <summary>Reads and checks one split; see <see cref="ProblemLog"/> for what is fatal.</summary>
    /// <exception cref="DataException">The first fatal problem, unless the log collects.</exception>
    public static VocDataset Open(string folder, string split, ProblemLog? log = null)
    {
        log ??= new ProblemLog();
        foreach (var part in new[] { "Annotations", "JPEGImages" })
            if (!Directory.Exists(Path.Combine(folder, part))) throw new DataException($"{folder}: a VOC folder needs the folder {part}");
        var splitPath = SplitPath(folder, split);
        if (!File.Exists(splitPath))
            throw new DataException($"{splitPath}: the list of the split {split} does not exist; there are: {string.Join(", ", Splits(folder))}");

        var documents = LoadAnnotations(Path.Combine(folder, "Annotations"), log);
        var classes = ReadClasses(Path.Combine(folder, "classes.txt"), documents);
        var pictures = new Dictionary<string, string>();
        foreach (var picture in Directory.EnumerateFiles(Path.Combine(folder, "JPEGImages")))
            pictures[Path.GetFileNameWithoutExtension(picture)] = Path.GetFullPath(picture);

        var samples = new List<Sample>();
        var seen = new HashSet<string>();
        var lines = TextFile.ReadLines(splitPath);
        for (var i = 0; i < lines.Length; i++)
        {
            if (PictureId(lines[i].Trim(), pictures) is not { Length: > 0 } id) continue;
            var place = $"line {i + 1}";
            var annotationPath = Path.Combine(folder, "Annotations", id + ".xml");
            if (!seen.Add(id)) log.Fatal(splitPath, place, $"duplicate picture id {id}");
            else if (!pictures.TryGetValue(id, out var picture)) log.Fatal(splitPath, place, $"the picture {id} does not exist in {Path.Combine(folder, "JPEGImages")}");
            else if (!documents.TryGetValue(id, out var document))
            {
                if (!File.Exists(annotationPath)) log.Fatal(splitPath, place, $"the annotation {annotationPath} does not exist");
            }
            else samples.Add(ReadSample(document, annotationPath, picture, samples.Count + 1, classes, log));
        }

        if (samples.Count == 0) throw new DataException($"{splitPath}: the data set is empty, expected at least one picture id");
        return new VocDataset($"{folder} ({split})", classes, [.. samples]);
    }

    /// A list of one class has -1, 0 or 1 behind every name; names themselves may hold spaces.
    private static string PictureId(string line, Dictionary<string, string> pictures)
    {
        var space = line.LastIndexOfAny([' ', '\t']);
        return space >= 0 && !pictures.ContainsKey(line) && line[(space + 1)..] is "-1" or "0" or "1" ? line[..space].TrimEnd() : line;
    }

    private static string SplitPath(string folder, string split) => Path.Combine(folder, "ImageSets", "Main", split + ".txt");

    private static Dictionary<string, XElement> LoadAnnotations(string folder, ProblemLog log)
    {
        var documents = new Dictionary<string, XElement>();
        foreach (var path in Directory.EnumerateFiles(folder, "*.xml").Order(StringComparer.Ordinal))
        {
            try
            {
                using var reader = XmlReader.Create(path); // document type definitions stay prohibited
                documents.Add(Path.GetFileNameWithoutExtension(path), XDocument.Load(reader, LoadOptions.SetLineInfo).Root!);
            }
            catch (XmlException error)
            {
                log.Fatal(path, $"line {error.LineNumber}", $"not readable as XML: {error.Message}");
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                log.Fatal(path, "", $"cannot read the annotation: {error.Message}");
            }
        }

        return documents;
    }

    private static string[] ReadClasses(string listPath, Dictionary<string, XElement> documents)
    {
        if (File.Exists(listPath))
        {
            string[] listed = [.. TextFile.ReadLines(listPath).Select(line => line.Trim()).Where(line => line.Length > 0)];
            if (listed.Length == 0) throw new DataException($"{listPath}: empty, expected one class name a line");
            if (listed.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice) throw new DataException($"{listPath}: the class {twice.Key} stands there twice");
            return listed;
        }

        string[] found = [.. documents.Values.SelectMany(root => root.Elements("object")).Select(ClassName).OfType<string>().Distinct().Order(StringComparer.Ordinal)];
        return found.Length > 0 ? found : throw new DataException($"{Path.GetDirectoryName(listPath)}: no object in any file of Annotations, so there are no classes");
    }

    private static string? ClassName(XElement element) => element.Element("name")?.Value.Trim() is { Length: > 0 } name ? name : null;

    private static Sample ReadSample(XElement root, string path, string picture, long id, string[] classes, ProblemLog log)
    {
        var (width, height) = root.Element("size") is { } size && Number(size, "width") is { } w and >= 1 && Number(size, "height") is { } h and >= 1
            ? ((int)w, (int)h)
            : ImageFile.ReadSize(picture); // tools exist that leave the size out or 0
        var objects = new List<ObjectAnnotation>();
        foreach (var element in root.Elements("object"))
        {
            var place = $"line {((IXmlLineInfo)element).LineNumber}";
            var name = ClassName(element);
            var index = Array.IndexOf(classes, name);
            if (name is null) log.Fatal(path, place, "an object needs a name");
            else if (index < 0) log.Fatal(path, place, $"unknown class {name}; classes.txt has {string.Join(", ", classes)}");
            else if (element.Element("bndbox") is not { } corners) log.Fatal(path, place, "an object needs a bndbox");
            else if (Number(corners, "xmin") is not { } xMin || Number(corners, "ymin") is not { } yMin || Number(corners, "xmax") is not { } xMax || Number(corners, "ymax") is not { } yMax)
                log.Fatal(path, place, $"bndbox needs the numbers xmin, ymin, xmax, ymax, got {string.Join(" ", corners.Elements().Select(part => $"{part.Name}={part.Value}"))}");
            else
            {
                var box = new Box(xMin - 1, yMin - 1, xMax, yMax);
                if (log.Accepts(box, width, height, path, place))
                    objects.Add(new ObjectAnnotation(index, box, Crowd: false, Difficult: element.Element("difficult")?.Value.Trim() == "1", box.Area, null));
            }
        }

        return new Sample(picture, id, width, height, objects);
    }

    private static double? Number(XElement parent, string name) =>
        double.TryParse(parent.Element(name)?.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) ? value : null;
}
