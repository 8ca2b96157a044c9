using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// Gathers nodes and constants under names: values are called after the stage they are, else after the node that makes them, weights after
/// the parameter. Weights go from (K,R,S,C) to (K,C,R,S).
/// </summary>
/// <param name="graph">Where they go.</param>
/// <param name="device">Where the weights lie.</param>
internal sealed class OnnxBuilder(OnnxGraph graph, Device device)
{
    private readonly Dictionary<Tensor, string> values = [];
    private readonly Dictionary<(DeviceBuffer, long), string> weights = [];

    /// <summary>Says how the value of a tensor is called.</summary>
    public void Call(Tensor tensor, string name) => values[tensor] = name;

    /// <summary>Says how a weight is called.</summary>
    public void Call(TensorView view, string name) => weights[(view.Buffer, view.Offset)] = name;

    public string Value(Tensor tensor) => values.TryGetValue(tensor, out string? name) ? name
        : throw new DataException($"ONNX export: {tensor} was made by an operation that is not on the tape");

    /// <summary>Appends a node.</summary>
    /// <returns>The name of its only output.</returns>
    public string Add(string type, IReadOnlyList<string> inputs, params ReadOnlySpan<(string Name, object Value)> attributes) =>
        Add(type, 1, inputs, attributes)[0];

    /// <summary>Appends a node with several outputs.</summary>
    public IReadOnlyList<string> Add(string type, int outputs, IReadOnlyList<string> inputs, params ReadOnlySpan<(string Name, object Value)> attributes)
    {
        string name = $"{type}_{graph.Nodes.Count}";
        string[] made = outputs == 1 ? [name] : [.. Enumerable.Range(0, outputs).Select(i => $"{name}_{i}")];
        graph.Nodes.Add(new(name, type, inputs, made, attributes.ToArray().ToDictionary(a => a.Name, a => a.Value)));
        return made;
    }

    /// <summary>The output of the last node is the value of the tensor, and takes its name if that is known already.</summary>
    public void Finish(Tensor tensor, string made)
    {
        if (graph.Nodes[^1].Outputs is not [var last] || last != made)
            throw new InvalidOperationException($"OnnxBuilder: {made} is not the output of the last node");
        if (values.TryGetValue(tensor, out string? name))
            graph.Nodes[^1] = graph.Nodes[^1] with { Outputs = [name] };
        else
            Call(tensor, made);
    }

    /// <summary>A constant of one number, or of one number a channel that goes with (N,C,H,W).</summary>
    public string Constant(string name, params ReadOnlySpan<float> values) =>
        Constant(name, new OnnxTensor(values.Length == 1 ? [] : [values.Length, 1, 1], values.ToArray()));

    public string Constant(string name, OnnxTensor tensor)
    {
        graph.Constants[name] = tensor;
        return name;
    }

    /// <summary>A parameter or buffer of the model.</summary>
    /// <param name="view">Its values.</param>
    /// <param name="shape">Instead of its own.</param>
    public string Weight(TensorView view, int[]? shape = null)
    {
        if (!weights.TryGetValue((view.Buffer, view.Offset), out string? name))
            throw new DataException($"ONNX export: {view} is no parameter or buffer of the model; is it in training mode?");
        if (!graph.Constants.ContainsKey(name))
        {
            var values = new float[view.Length];
            device.Download<float>(view, values);
            int[] own = view.Shape.ToArray();
            Constant(name, own is [var k, var r, var s, var c]
                ? new OnnxTensor([k, c, r, s], ChannelsFirst(values, k, r * s, c)) : new OnnxTensor(shape ?? own, values));
        }
        return name;
    }

    /// <summary>(count, pixels, channels) to (count, channels, pixels).</summary>
    public static float[] ChannelsFirst(ReadOnlySpan<float> values, int count, int pixels, int channels)
    {
        var turned = new float[values.Length];
        for (int n = 0; n < count; n++)
            for (int p = 0; p < pixels; p++)
                for (int c = 0; c < channels; c++)
                    turned[(n * channels + c) * pixels + p] = values[(n * pixels + p) * channels + c];
        return turned;
    }
}
