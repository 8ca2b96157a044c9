namespace CudaKernels.Detection;

/// <summary>A network in the terms of ONNX: nodes in an order in which they can run, joined by the names of their values. Images are (N,C,H,W).</summary>
/// <param name="Name">Name of the model.</param>
internal sealed record OnnxGraph(string Name)
{
    public List<OnnxNode> Nodes { get; } = [];

    /// <summary>Weights and other constants by name.</summary>
    public OrderedDictionary<string, OnnxTensor> Constants { get; } = [];

    public List<OnnxValue> Inputs { get; } = [];

    public List<OnnxValue> Outputs { get; } = [];

    /// <summary>What a user of the file wants to know besides the graph.</summary>
    public OrderedDictionary<string, string> Metadata { get; } = [];
}

/// <summary>One operation.</summary>
/// <param name="Name">Unique in the graph.</param>
/// <param name="Type">Name in the ai.onnx operator set.</param>
/// <param name="Inputs">Names of values and constants; an empty name is an optional input left out.</param>
/// <param name="Outputs">Names of the values it makes.</param>
/// <param name="Attributes">Each a long, a float, a string or a long[].</param>
internal sealed record OnnxNode(
    string Name, string Type, IReadOnlyList<string> Inputs, IReadOnlyList<string> Outputs, IReadOnlyDictionary<string, object> Attributes)
{
    /// <exception cref="DataException">The attribute is missing or has another type.</exception>
    public T Get<T>(string attribute) => Attributes.TryGetValue(attribute, out object? value) && value is T typed ? typed
        : throw new DataException($"{Type} {Name}: expects the attribute {attribute} of type {typeof(T).Name}");
}

/// <summary>An input or output of the graph, float32.</summary>
/// <param name="Dimensions">Numbers, or names of what is open.</param>
internal sealed record OnnxValue(string Name, IReadOnlyList<string> Dimensions, string Description);

/// <summary>An array: float32 or, where an operation takes sizes, 64-bit integers.</summary>
internal sealed record OnnxTensor(int[] Shape, float[] Floats)
{
    /// <summary>Empty for a tensor of floats.</summary>
    public long[] Integers { get; private init; } = [];

    public static OnnxTensor Of(params long[] integers) => new([integers.Length], []) { Integers = integers };
}
