using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// The operations of a tape in ONNX's operator set 19, one row each. Source: Operators.md of the ONNX project; DeformConv takes its
/// offset channels as (offset group, tap, Δy and Δx), as <see cref="DeformConv2dForward"/> does.
/// </summary>
internal static class OnnxOps
{
    /// <summary>Appends what computes the operation and returns the name of its result, the output of the last node.</summary>
    private delegate string Row(OnnxBuilder graph, NodeTrace trace);

    private static readonly Dictionary<string, Row> Rows = new()
    {
        [nameof(Conv2d)] = (g, t) => Activated(g, t, g.Add("Conv", Weighted(g, t), [.. Geometry(t), Group(t)])),
        [nameof(ConvTranspose2d)] = (g, t) =>
            g.Add("ConvTranspose", Weighted(g, t), [.. Geometry(t), Group(t), ("output_padding", Twice(t.Get<int>("outputPadding")))]),
        [nameof(ModulatedDeformConv2d)] = DeformConv,
        [nameof(Linear)] = (g, t) => Activated(g, t, g.Add("Gemm", Weighted(g, t), ("transB", 1L))),
        [nameof(BatchNorm2d)] = BatchNorm,
        [nameof(GroupNorm)] = GroupNorm,
        [nameof(Functional.Relu)] = (g, t) => Activated(g, t, g.Value(t.Inputs[0])),
        [nameof(Functional.LeakyRelu)] = (g, t) => Activated(g, t, g.Value(t.Inputs[0])),
        [nameof(Functional.Sigmoid)] = (g, t) => g.Add("Sigmoid", Values(g, t)),
        [nameof(Functional.Add)] = (g, t) => g.Add("Add", Values(g, t)),
        [nameof(Functional.Scale)] = Scale,
        [nameof(Functional.Concat)] = (g, t) => g.Add("Concat", Values(g, t), ("axis", 1L)),
        [nameof(Functional.MaxPool)] = (g, t) => g.Add("MaxPool", Values(g, t), [.. Geometry(t), ("ceil_mode", t.Get<bool>("ceil") ? 1L : 0L)]),
        [nameof(Functional.UpsampleBilinear)] = (g, t) =>
            Resize(g, t, ("mode", "linear"), ("coordinate_transformation_mode", t.Get<bool>("alignCorners") ? "align_corners" : "half_pixel")),
        [nameof(Functional.UpsampleNearest)] = (g, t) =>
            Resize(g, t, ("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")),
    };

    /// <exception cref="DataException">The operation has no row here, or is set in a way that ONNX cannot say.</exception>
    public static void Append(OnnxBuilder graph, Node node)
    {
        if (!Rows.TryGetValue(node.Name, out var row))
            throw new DataException($"ONNX export: the operation {node.Name} has no row in OnnxOps; there are {string.Join(", ", Rows.Keys)}");
        graph.Finish(node.Output, row(graph, node.Trace));
    }

    /// <summary>The side convolution's channels are cut into offsets and, through a sigmoid, the mask.</summary>
    private static string DeformConv(OnnxBuilder g, NodeTrace t)
    {
        long taps = t.Get<int>("offsetGroups") * t.Get<Window>("window").Area;
        var parts = g.Add("Split", 2, [g.Value(t.Inputs[1]), g.Constant($"split_{taps}", OnnxTensor.Of(2 * taps, taps))], ("axis", 1L));
        string mask = g.Add("Sigmoid", [parts[1]]);
        return g.Add("DeformConv", [g.Value(t.Inputs[0]), g.Weight(t.Get<TensorView>("weight")), parts[0], Bias(g, t), mask],
            [.. Geometry(t), Group(t), ("offset_group", (long)t.Get<int>("offsetGroups"))]);
    }

    private static string BatchNorm(OnnxBuilder g, NodeTrace t)
    {
        string y = g.Add("BatchNormalization",
            [
                g.Value(t.Inputs[0]), g.Weight(t.Get<TensorView>("weight")), g.Weight(t.Get<TensorView>("bias")),
                g.Weight(t.Get<TensorView>("mean")), g.Weight(t.Get<TensorView>("variance")),
            ],
            ("epsilon", t.Get<float>("epsilon")));
        return Activated(g, t, t.Inputs is [_, var residual] ? g.Add("Add", [y, g.Value(residual)]) : y);
    }

    /// <summary>
    /// The operator set's own group norm has one factor a group, not a channel. So each group becomes one channel of a higher picture,
    /// which instance norm brings to mean 0 and variance 1; factor and summand follow.
    /// </summary>
    private static string GroupNorm(OnnxBuilder g, NodeTrace t)
    {
        int groups = t.Get<int>("groups"), channels = t.Inputs[0].Shape.Channels;
        var ones = new float[groups];
        Array.Fill(ones, 1);
        string grouped = g.Add("Reshape", [g.Value(t.Inputs[0]), g.Constant($"shape_{groups}", OnnxTensor.Of(0, groups, -1, 0))]);
        string normed = g.Add("InstanceNormalization",
            [grouped, g.Constant($"one_{groups}", new OnnxTensor([groups], ones)), g.Constant($"zero_{groups}", new OnnxTensor([groups], new float[groups]))],
            ("epsilon", t.Get<float>("epsilon")));
        string split = g.Add("Reshape", [normed, g.Constant($"shape_{channels}", OnnxTensor.Of(0, channels, -1, 0))]);
        string scaled = g.Add("Mul", [split, g.Weight(t.Get<TensorView>("weight"), [channels, 1, 1])]);
        return Activated(g, t, g.Add("Add", [scaled, g.Weight(t.Get<TensorView>("bias"), [channels, 1, 1])]));
    }

    private static string Scale(OnnxBuilder g, NodeTrace t)
    {
        float factor = t.Get<float>("factor");
        return g.Add("Mul", [g.Value(t.Inputs[0]), g.Constant(FormattableString.Invariant($"factor_{factor:R}"), factor)]);
    }

    /// <summary>The sizes of a picture are open in the graph, so only a factor can be written down.</summary>
    private static string Resize(OnnxBuilder g, NodeTrace t, params ReadOnlySpan<(string, object)> attributes)
    {
        var x = t.Inputs[0].Shape;
        int height = t.Get<int>("height"), width = t.Get<int>("width");
        if (height % x[1] != 0 || width % x[2] != 0)
            throw new DataException($"ONNX export: a resize from {x[1]}x{x[2]} to {height}x{width} is not by whole factors");
        int down = height / x[1], right = width / x[2];
        return g.Add("Resize", [g.Value(t.Inputs[0]), "", g.Constant($"scales_{down}_{right}", new OnnxTensor([4], [1, 1, down, right]))], attributes);
    }

    private static string Activated(OnnxBuilder g, NodeTrace t, string x)
    {
        var activation = t.Get<Activation>("activation");
        return activation.Kind switch
        {
            ActivationKind.None => x,
            ActivationKind.Relu => g.Add("Relu", [x]),
            ActivationKind.LeakyRelu => g.Add("LeakyRelu", [x], ("alpha", activation.Slope)),
            _ => throw new DataException($"ONNX export: the activation {activation.Kind} has no counterpart"),
        };
    }

    private static string[] Values(OnnxBuilder g, NodeTrace t) => [.. t.Inputs.Select(g.Value)];

    private static string[] Weighted(OnnxBuilder g, NodeTrace t) =>
        Bias(g, t) is { Length: > 0 } bias ? [g.Value(t.Inputs[0]), g.Weight(t.Get<TensorView>("weight")), bias]
        : [g.Value(t.Inputs[0]), g.Weight(t.Get<TensorView>("weight"))];

    /// <summary>Empty, the name of an input left out, where there is none.</summary>
    private static string Bias(OnnxBuilder g, NodeTrace t) => t.Get<TensorView>("bias") is { IsNone: false } bias ? g.Weight(bias) : "";

    private static (string, object) Group(NodeTrace t) => ("group", (long)t.Get<int>("groups"));

    private static (string, object)[] Geometry(NodeTrace t)
    {
        var window = t.Get<Window>("window");
        return
        [
            ("kernel_shape", new long[] { window.KernelHeight, window.KernelWidth }),
            ("strides", new long[] { window.StrideY, window.StrideX }),
            ("pads", new long[] { window.PadY, window.PadX, window.PadY, window.PadX }),
            ("dilations", new long[] { window.DilationY, window.DilationX }),
        ];
    }

    private static long[] Twice(int value) => [value, value];
}
