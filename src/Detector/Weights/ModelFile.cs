using System.Globalization;
using System.Text.Json;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// A model on disk: safetensors with every parameter and buffer under its dotted name, channels last as in memory, and metadata
/// that rebuilds it: "format", "layout", "model", "classes" (JSON list) and "imgsz". Tensors whose name starts with
/// <see cref="StatePrefix"/> belong to a training run and are no part of the model.
/// </summary>
internal sealed class ModelFile
{
    public const string StatePrefix = "state.";

    private const string Format = "cudakernels", Layout = "nhwc";

    private readonly string path;
    private readonly SafeTensorsFile file;

    public ModelFile(string path, SafeTensorsFile file)
    {
        this.path = path;
        this.file = file;
        Expect("format", Format, "this file was not written by cudakernels");
        Expect("layout", Layout, "this file was written by another version");
        ModelName = Text("model");
        Classes = ReadClasses();
        if (!int.TryParse(Text("imgsz"), CultureInfo.InvariantCulture, out int imageSize))
            throw new DataException($"{path}: metadata imgsz expects a number of pixels but is \"{Text("imgsz")}\"");
        ImageSize = imageSize;
    }

    public string ModelName { get; }

    public IReadOnlyList<string> Classes { get; }

    /// <summary>Side of the square input the model was trained on.</summary>
    public int ImageSize { get; }

    /// <exception cref="DataException">Missing, damaged, or not a model of this library.</exception>
    public static ModelFile Open(string path) => new(path, SafeTensorsFile.Read(path));

    /// <summary>Writes a model, whole or not at all.</summary>
    /// <param name="path">Replaced if it exists.</param>
    /// <param name="info">What the model is.</param>
    /// <param name="parameters">Names, shapes and values.</param>
    /// <param name="imageSize">Side of the square input.</param>
    /// <param name="state">Tensors of the training run, names starting with <see cref="StatePrefix"/>.</param>
    /// <param name="stateMetadata">Further metadata.</param>
    public static void Save(string path, ModelInfo info, ParameterSet parameters, int imageSize,
        IEnumerable<(string Name, int[] Shape, ReadOnlyMemory<float> Values)>? state = null,
        IReadOnlyDictionary<string, string>? stateMetadata = null)
    {
        var tensors = parameters.Named.Select(n => (n.Name, View: n.Parameter.Value))
            .Concat(parameters.NamedBuffers.Select(n => (n.Name, View: n.Buffer.Value)))
            .Select(t => (t.Name, t.View.Shape.ToArray(), Read(parameters.Device, t.View)));
        var metadata = new Dictionary<string, string>(stateMetadata ?? new Dictionary<string, string>())
        {
            ["format"] = Format,
            ["layout"] = Layout,
            ["model"] = info.Name,
            ["classes"] = JsonSerializer.Serialize(info.Classes),
            ["imgsz"] = imageSize.ToString(CultureInfo.InvariantCulture),
        };
        SafeTensorsFile.Write(path, tensors.Concat(state ?? []), metadata);
    }

    /// <summary>The model the file describes, without memory.</summary>
    public DetectionModel CreateModel()
    {
        try
        {
            var model = ModelCatalog.Create(ModelName, Classes);
            model.Info.CheckImageSize(ImageSize);
            return model;
        }
        catch (DataException error)
        {
            throw new DataException($"{path}: {error.Message}", error);
        }
    }

    /// <summary>Gives a model of <see cref="CreateModel"/> memory on the device, filled from the file.</summary>
    public FrozenWeights Freeze(DetectionModel model, Device device)
    {
        var weights = new FrozenWeights(model, device);
        try
        {
            CopyTo(model, device);
            return weights;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Fills a model that has memory. Nothing is copied unless everything fits.</summary>
    /// <exception cref="DataException">Another model or class list; a tensor missing, unknown, of another shape or not finite.</exception>
    public void CopyTo(DetectionModel model, Device device)
    {
        RequireSame(model.Info);
        var wanted = model.NamedParameters().Select(n => (n.Name, View: n.Parameter.Value))
            .Concat(model.NamedBuffers().Select(n => (n.Name, View: n.Buffer.Value))).ToArray();
        var names = wanted.Select(w => w.Name).ToHashSet();
        if (file.Tensors.Select(t => t.Name).FirstOrDefault(n => !n.StartsWith(StatePrefix, StringComparison.Ordinal) && !names.Contains(n)) is { } stranger)
            throw new DataException($"{path}: tensor {stranger} is no part of {ModelName}; did the file come from another version?");
        var values = wanted.Select(w => Checked(w.Name, w.View.Shape)).ToArray();
        for (int i = 0; i < wanted.Length; i++)
            device.Upload<float>(values[i], wanted[i].View);
    }

    private static ReadOnlyMemory<float> Read(Device device, TensorView view)
    {
        var values = new float[view.Length];
        device.Download<float>(view, values);
        return values;
    }

    private float[] Checked(string name, Shape shape)
    {
        if (!file.TryGet(name, out var tensor))
            throw new DataException($"{path}: tensor {name} of {ModelName} is missing; the file is not complete");
        if (!tensor.Shape.SequenceEqual(shape.ToArray()))
            throw new DataException($"{path}: tensor {name} expects shape {shape} but is [{string.Join(',', tensor.Shape)}]");
        var values = tensor.ToFloats();
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        if (bad >= 0)
            throw new DataException(FormattableString.Invariant(
                $"{path}: tensor {name} holds {values[bad]} at element {bad}; the training diverged or the file is damaged, use an earlier checkpoint"));
        return values;
    }

    /// <exception cref="DataException">The file holds another model, or was trained on another class list.</exception>
    public void RequireSame(ModelInfo info)
    {
        if (info.Name != ModelName)
            throw new DataException($"{path}: holds the model {ModelName} but {info.Name} was asked for");
        if (info.Classes.Count != Classes.Count)
            throw new DataException($"{path}: was trained on {Classes.Count} classes but the data has {info.Classes.Count}");
        for (int i = 0; i < Classes.Count; i++)
            if (info.Classes[i] != Classes[i])
                throw new DataException($"{path}: class {i} is {Classes[i]} but in the data it is {info.Classes[i]}");
    }

    private void Expect(string key, string expected, string meaning)
    {
        if (Text(key) is var came && came != expected)
            throw new DataException($"{path}: metadata {key} expects \"{expected}\" but is \"{came}\"; {meaning}");
    }

    private string Text(string key) => file.Metadata.TryGetValue(key, out string? text) ? text
        : throw new DataException($"{path}: metadata {key} is missing; this is not a model file of cudakernels");

    private string[] ReadClasses()
    {
        try
        {
            if (JsonSerializer.Deserialize<string?[]>(Text("classes")) is { Length: > 0 } classes && classes.All(c => c is not null))
                return classes!;
        }
        catch (JsonException)
        {
        }
        throw new DataException($"{path}: metadata classes expects a JSON list of names but is {Text("classes")}");
    }
}
