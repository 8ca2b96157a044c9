namespace CudaKernels.Detection;

/// <summary>
/// Runs a graph as the specification of ONNX reads, in plain loops and with sums in double: the second opinion that an exported file is
/// checked with. Knows the operations that <see cref="OnnxOps"/> writes; speed is no aim.
/// </summary>
internal static class OnnxRunner
{
    /// <param name="graph">What to run.</param>
    /// <param name="inputs">A tensor for each input of the graph, (N,C,H,W).</param>
    /// <returns>The graph's outputs by name.</returns>
    /// <exception cref="DataException">An operation that is not known here, or a value that no node makes.</exception>
    public static IReadOnlyDictionary<string, OnnxTensor> Run(OnnxGraph graph, IReadOnlyDictionary<string, OnnxTensor> inputs)
    {
        var values = new Dictionary<string, OnnxTensor>(graph.Constants);
        foreach (var (name, tensor) in inputs)
            values[name] = tensor;
        foreach (var node in graph.Nodes)
        {
            OnnxTensor?[] read = [.. node.Inputs.Select(name => name == "" ? null : Find(name, node.Name))];
            var made = Compute(node, read);
            for (int i = 0; i < made.Length; i++)
                values[node.Outputs[i]] = made[i];
        }
        return graph.Outputs.ToDictionary(o => o.Name, o => Find(o.Name, "the graph"));

        OnnxTensor Find(string name, string reader) => values.TryGetValue(name, out var tensor) ? tensor
            : throw new DataException($"ONNX graph {graph.Name}: nothing makes the value {name} that {reader} reads");
    }

    private static OnnxTensor[] Compute(OnnxNode node, OnnxTensor?[] inputs)
    {
        var x = inputs[0]!;
        return node.Type switch
        {
            "Add" => [Broadcast(x, inputs[1]!, (a, b) => a + b)],
            "Sub" => [Broadcast(x, inputs[1]!, (a, b) => a - b)],
            "Mul" => [Broadcast(x, inputs[1]!, (a, b) => a * b)],
            "Div" => [Broadcast(x, inputs[1]!, (a, b) => a / b)],
            "Relu" => [Map(x, v => v > 0 ? v : 0)],
            "LeakyRelu" => [Map(x, LeakyRelu(node.Get<float>("alpha")))],
            "Sigmoid" => [Map(x, v => 1 / (1 + Math.Exp(-v)))],
            "BatchNormalization" => [BatchNormalization(node, x, inputs[1]!, inputs[2]!, inputs[3]!, inputs[4]!)],
            "InstanceNormalization" => [InstanceNormalization(node, x, inputs[1]!, inputs[2]!)],
            "Concat" => [Concat([.. inputs.Select(i => i!)])],
            "Split" => Split(x, inputs[1]!.Integers),
            "Reshape" => [Reshape(x, inputs[1]!.Integers)],
            "Gemm" => [Gemm(x, inputs[1]!, inputs.ElementAtOrDefault(2))],
            "Conv" => [OnnxWindowRunner.Conv(node, x, inputs[1]!, inputs.ElementAtOrDefault(2))],
            "ConvTranspose" => [OnnxWindowRunner.ConvTranspose(node, x, inputs[1]!, inputs.ElementAtOrDefault(2))],
            "DeformConv" => [OnnxWindowRunner.DeformConv(node, x, inputs[1]!, inputs[2]!, inputs[3], inputs[4]!)],
            "MaxPool" => [OnnxWindowRunner.MaxPool(node, x)],
            "Resize" => [OnnxWindowRunner.Resize(node, x, inputs[2]!.Floats)],
            _ => throw new DataException($"ONNX node {node.Name}: the operation {node.Type} is not known here"),
        };
    }

    private static Func<double, double> LeakyRelu(float alpha) => v => v > 0 ? v : alpha * v;

    private static OnnxTensor Map(OnnxTensor x, Func<double, double> function) => new(x.Shape, Array.ConvertAll(x.Floats, v => (float)function(v)));

    /// <summary>The second operand's dimensions stand under the last of the first; a size of 1 is repeated.</summary>
    private static OnnxTensor Broadcast(OnnxTensor a, OnnxTensor b, Func<double, double, double> function)
    {
        var y = new float[a.Floats.Length];
        for (int i = 0; i < y.Length; i++)
        {
            int rest = i, place = 0, step = 1;
            for (int axis = a.Shape.Length - 1, under = b.Shape.Length - 1; under >= 0; axis--, under--)
            {
                int index = rest % a.Shape[axis];
                rest /= a.Shape[axis];
                if (b.Shape[under] != 1)
                    place += index * step;
                step *= b.Shape[under];
            }
            y[i] = (float)function(a.Floats[i], b.Floats[place]);
        }
        return new(a.Shape, y);
    }

    private static OnnxTensor BatchNormalization(OnnxNode node, OnnxTensor x, OnnxTensor scale, OnnxTensor bias, OnnxTensor mean, OnnxTensor variance)
    {
        double epsilon = node.Get<float>("epsilon");
        int channels = x.Shape[1], pixels = x.Shape[2] * x.Shape[3];
        var y = new float[x.Floats.Length];
        for (int i = 0; i < y.Length; i++)
        {
            int c = i / pixels % channels;
            y[i] = (float)((x.Floats[i] - mean.Floats[c]) / Math.Sqrt(variance.Floats[c] + epsilon) * scale.Floats[c] + bias.Floats[c]);
        }
        return new(x.Shape, y);
    }

    private static OnnxTensor InstanceNormalization(OnnxNode node, OnnxTensor x, OnnxTensor scale, OnnxTensor bias)
    {
        int pixels = x.Shape[2] * x.Shape[3];
        var y = new float[x.Floats.Length];
        for (int plane = 0; plane < x.Shape[0] * x.Shape[1]; plane++)
        {
            var from = x.Floats.AsSpan(plane * pixels, pixels);
            double mean = 0, variance = 0;
            foreach (float v in from)
                mean += v / (double)pixels;
            foreach (float v in from)
                variance += (v - mean) * (v - mean) / pixels;
            int c = plane % x.Shape[1];
            for (int p = 0; p < pixels; p++)
                y[plane * pixels + p] = (float)((from[p] - mean) / Math.Sqrt(variance + node.Get<float>("epsilon")) * scale.Floats[c] + bias.Floats[c]);
        }
        return new(x.Shape, y);
    }

    /// <summary>Along the channels, the only axis that is written.</summary>
    private static OnnxTensor Concat(OnnxTensor[] parts)
    {
        var first = parts[0];
        int[] shape = [first.Shape[0], parts.Sum(p => p.Shape[1]), .. first.Shape[2..]];
        var y = new List<float>();
        for (int n = 0; n < shape[0]; n++)
            foreach (var part in parts)
                y.AddRange(part.Floats.AsSpan(n * part.Floats.Length / shape[0], part.Floats.Length / shape[0]));
        return new(shape, [.. y]);
    }

    private static OnnxTensor[] Split(OnnxTensor x, long[] channels)
    {
        int pixels = x.Shape[2] * x.Shape[3], batch = x.Shape[0];
        var parts = new OnnxTensor[channels.Length];
        int begin = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            int count = (int)channels[i];
            var y = new float[batch * count * pixels];
            for (int n = 0; n < batch; n++)
                x.Floats.AsSpan((n * x.Shape[1] + begin) * pixels, count * pixels).CopyTo(y.AsSpan(n * count * pixels));
            parts[i] = new([batch, count, .. x.Shape[2..]], y);
            begin += count;
        }
        return parts;
    }

    /// <summary>0 keeps a size, −1 is what remains.</summary>
    private static OnnxTensor Reshape(OnnxTensor x, long[] wanted)
    {
        int[] shape = [.. wanted.Select((size, axis) => size == 0 ? x.Shape[axis] : (int)size)];
        int open = Array.IndexOf(shape, -1);
        if (open >= 0)
            shape[open] = x.Floats.Length / shape.Where(size => size != -1).Aggregate(1, (product, size) => product * size);
        return x with { Shape = shape };
    }

    /// <summary>x · weightᵀ + bias: transB is the only form that is written.</summary>
    private static OnnxTensor Gemm(OnnxTensor x, OnnxTensor weight, OnnxTensor? bias)
    {
        int rows = x.Shape[0], depth = x.Shape[1], columns = weight.Shape[0];
        var y = new float[rows * columns];
        for (int i = 0; i < y.Length; i++)
        {
            double sum = bias?.Floats[i % columns] ?? 0;
            for (int k = 0; k < depth; k++)
                sum += (double)x.Floats[i / columns * depth + k] * weight.Floats[i % columns * depth + k];
            y[i] = (float)sum;
        }
        return new([rows, columns], y);
    }
}
