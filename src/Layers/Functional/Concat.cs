using CudaKernels.Kernels;

namespace CudaKernels.Layers;

internal static partial class Functional
{
    /// <summary>Joins along the last dimension; all other dimensions are equal.</summary>
    public static Tensor Concat(params ReadOnlySpan<Tensor> parts)
    {
        if (parts.Length == 0)
            throw new TensorException("Concat: parts expects at least one tensor but is empty");
        var first = parts[0];
        int channels = 0;
        bool requires = false;
        for (int i = 0; i < parts.Length; i++)
        {
            Operands.Value(nameof(Concat), $"parts[{i}]", parts[i]);
            Operands.Together(nameof(Concat), "parts[0]", first, $"parts[{i}]", parts[i]);
            if (WithChannels(parts[i].Shape, 0) != WithChannels(first.Shape, 0))
                throw new TensorException($"Concat: parts[{i}] expects the dimensions of parts[0] {first} except the last but is {parts[i]}");
            channels += parts[i].Shape.Channels;
            requires |= parts[i].RequiresGradient;
        }
        var y = first.Scope.Rent(WithChannels(first.Shape, channels), nameof(Concat), requires);
        int at = 0;
        foreach (var part in parts)
        {
            y.Scope.Device.Run(new CopyChannels(part.View, y.View, 0, at, part.Shape.Channels, Accumulate: false));
            at += part.Shape.Channels;
        }
        if (y.RequiresGradient)
            y.Scope.Record(new ConcatNode(parts.ToArray(), y));
        return y;
    }

    private static Shape WithChannels(Shape shape, int channels)
    {
        Span<int> dims = stackalloc int[5];
        for (int i = 0; i < shape.Rank; i++)
            dims[i] = i == shape.Rank - 1 ? channels : shape[i];
        return new Shape(dims[..shape.Rank]);
    }

    private sealed class ConcatNode(Tensor[] parts, Tensor y) : Node(y)
    {
        public override string Name => nameof(Concat);

        public override NodeTrace Trace => new(parts);

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            int at = 0;
            foreach (var part in parts)
            {
                if (sink.Wants(part))
                {
                    var (gradPart, add) = sink.For(part);
                    sink.Device.Run(new CopyChannels(gradient, gradPart, at, 0, part.Shape.Channels, add));
                }
                at += part.Shape.Channels;
            }
        }
    }
}
