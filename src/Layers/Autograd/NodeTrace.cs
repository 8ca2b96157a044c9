namespace CudaKernels.Layers;

/// <summary>
/// What an executed operation read and how it was set, as data: enough to write it down in another form. Attributes are numbers,
/// windows, activations and the views of weights; an absent weight is a view that is none.
/// </summary>
/// <param name="inputs">The activations it read, in the order of its arguments.</param>
internal sealed class NodeTrace(params ReadOnlySpan<Tensor> inputs)
{
    private readonly Dictionary<string, object> attributes = [];

    public IReadOnlyList<Tensor> Inputs { get; } = inputs.ToArray();

    /// <summary>Sets an attribute, once.</summary>
    public object this[string name]
    {
        set => attributes.Add(name, value);
    }

    public T Get<T>(string name) => attributes.TryGetValue(name, out object? value) && value is T typed ? typed
        : throw new TensorException($"NodeTrace: expects the attribute {name} as {typeof(T).Name} but has {string.Join(", ", attributes.Keys)}");
}
