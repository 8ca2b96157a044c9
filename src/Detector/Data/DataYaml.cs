using YamlDotNet.RepresentationModel;

namespace CudaKernels.Detection;

/// <summary>
/// A YAML file that describes a data set. Two forms: YOLO's data.yaml (each split is a folder, a list file or a list of them, with
/// names), and the one for COCO JSON (each split is a mapping with images and annotations). Paths are relative to the file.
/// </summary>
internal sealed class DataYaml
{
    private static readonly string[] SplitNames = ["train", "val", "test"];
    private readonly YamlMappingNode root;

    private DataYaml(string path, YamlMappingNode root)
    {
        Path = path;
        this.root = root;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The folder that relative paths start from.</summary>
    public string Folder => System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;

    /// <summary>The splits that have a value.</summary>
    public IReadOnlyList<string> Splits => [.. SplitNames.Where(name => Find(name) is not null)];

    /// <summary>Whether the splits are mappings, as for COCO JSON.</summary>
    public bool IsCoco => SplitNames.Any(name => Find(name) is YamlMappingNode);

    /// <summary>Reads a file.</summary>
    /// <exception cref="DataException">Missing, unreadable, malformed, or without any split.</exception>
    public static DataYaml Load(string path)
    {
        var node = YamlText.Load(path);
        if (node is not YamlMappingNode root)
            throw new DataException($"{path}: expected keys such as train and val, got {(node is null ? "an empty file" : "something else")}");
        var yaml = new DataYaml(path, root);
        return yaml.Splits.Count > 0 ? yaml
            : throw new DataException($"{path}: none of the keys train, val, test is there; it has: {string.Join(", ", root.Children.Keys)}");
    }

    /// <summary>The value of a top-level key, or null when absent or empty.</summary>
    public YamlNode? Find(string key) =>
        root.Children.TryGetValue(new YamlScalarNode(key), out var node) && node is not YamlScalarNode { Value: null or "" or "~" or "null" } ? node : null;

    /// <summary>The folder of pictures and the annotation file of a split in the COCO form.</summary>
    public (string Images, string Annotations) CocoSplit(string split)
    {
        var node = Require(split);
        if (node is not YamlMappingNode mapping) throw Wrong(node, split, "expected images and annotations, as in the other splits");
        foreach (var key in mapping.Children.Keys)
            if (key is not YamlScalarNode { Value: "images" or "annotations" }) throw Wrong(key, split, $"unknown key {key}, expected images and annotations");
        return (Text("images"), Text("annotations"));

        string Text(string key) => mapping.Children.TryGetValue(new YamlScalarNode(key), out var value) && value is YamlScalarNode { Value: { Length: > 0 } text }
            ? TextFile.Resolve(Folder, text)
            : throw Wrong(node, split, $"the key {key} is missing or has no value");
    }

    /// <summary>The entries of a split in the YOLO form: one text or a list of texts, as written.</summary>
    public IReadOnlyList<string> YoloSplit(string split)
    {
        var node = Require(split);
        IReadOnlyList<string> entries = node switch
        {
            YamlScalarNode scalar => [scalar.Value!],
            YamlSequenceNode sequence => [.. sequence.Children.Select(child => child is YamlScalarNode { Value: { Length: > 0 } text } ? text : throw Wrong(child, split, "expected a path"))],
            _ => throw Wrong(node, split, "expected a path or a list of paths"),
        };
        return entries.Count > 0 ? entries : throw Wrong(node, split, "the list of paths is empty");
    }

    /// <summary>The class names: a list, or a mapping from 0, 1, 2, ... to names.</summary>
    public string[] Names()
    {
        const string key = "names";
        var node = Find(key) ?? throw new DataException($"{Path}: the key names is missing; it lists the classes");
        string[] names;
        if (node is YamlSequenceNode sequence)
            names = [.. sequence.Children.Select(child => Name(child))];
        else if (node is YamlMappingNode mapping)
        {
            names = new string[mapping.Children.Count];
            foreach (var (index, name) in mapping.Children)
            {
                if (index is not YamlScalarNode { Value: { } text } || !int.TryParse(text, out var position) || position < 0 || position >= names.Length)
                    throw Wrong(index, key, $"class numbers must run from 0 to {names.Length - 1} without gaps, got {index}");
                names[position] = Name(name);
            }
        }
        else throw Wrong(node, key, "expected a list of class names or a mapping from numbers to names");

        if (names.Length == 0) throw Wrong(node, key, "empty, expected at least one class");
        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice) throw Wrong(node, key, $"the class {twice.Key} stands there twice");
        if (Find("nc") is { } count && (count is not YamlScalarNode { Value: { } number } || number != names.Length.ToString()))
            throw Wrong(count, "nc", $"is {count}, but names lists {names.Length} classes");
        return names;

        string Name(YamlNode child) => child is YamlScalarNode { Value: { Length: > 0 } text } ? text : throw Wrong(child, key, "expected a class name");
    }

    /// <summary>A text value of a top-level key, or null.</summary>
    public string? Text(string key) => Find(key) switch
    {
        null => null,
        YamlScalarNode scalar => scalar.Value,
        var node => throw Wrong(node, key, "expected a text"),
    };

    /// The parser answers most faults with YamlException, but some with InvalidOperationException or ArgumentException.
    private YamlNode Require(string split) =>
        Find(split) ?? throw new DataException($"{Path}: has no split {split}; there are: {string.Join(", ", Splits)}");

    private DataException Wrong(YamlNode node, string key, string message) => new($"{Path}: line {node.Start.Line}, {key}: {message}");
}
