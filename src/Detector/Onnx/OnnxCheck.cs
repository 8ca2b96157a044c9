using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>How far an output of an exported graph is from the model's own, on one picture.</summary>
/// <param name="Output">Name of the output.</param>
/// <param name="Largest">Largest absolute value of the model's.</param>
/// <param name="Difference">Largest absolute difference; NaN if either holds a NaN.</param>
internal sealed record OnnxDifference(string Output, double Largest, double Difference)
{
    private const double Tolerance = 1e-3;

    public bool IsWithin => Difference <= Tolerance * Largest;

    public override string ToString() =>
        FormattableString.Invariant($"{Output}: largest value {Largest:G4}, largest difference {Difference:G3}, {Tolerance} of the largest value allowed");
}

/// <summary>Compares what an exported graph gives with what the model gives.</summary>
internal static class OnnxCheck
{
    /// <summary>Neither square nor large: sides that were mixed up would show.</summary>
    private const int Height = 64, Width = 96;

    /// <summary>Runs the exported file on a small random picture, by <see cref="OnnxRunner"/>.</summary>
    /// <exception cref="DataException">The file cannot be read or run.</exception>
    public static IReadOnlyList<OnnxDifference> Run(string path, DetectionModel model, Device device)
    {
        var graph = OnnxFile.Read(path);
        return Compare(model, device, Height, Width, images => OnnxRunner.Run(graph, new Dictionary<string, OnnxTensor> { [OnnxExporter.Input] = images }));
    }

    /// <param name="model">With memory on the device and in inference mode.</param>
    /// <param name="device">Runs the model.</param>
    /// <param name="height">Rows of the random picture.</param>
    /// <param name="width">Columns.</param>
    /// <param name="run">Gives the outputs of the exported graph for images (1,3,H,W) in levels.</param>
    public static IReadOnlyList<OnnxDifference> Compare(
        DetectionModel model, Device device, int height, int width, Func<OnnxTensor, IReadOnlyDictionary<string, OnnxTensor>> run)
    {
        var pixels = new byte[height * width * 3];
        var random = new CounterRandom(1);
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)random.At((ulong)i).Int(256);
        var levels = Array.ConvertAll(pixels, level => (float)level);
        var found = run(new([1, 3, height, width], OnnxBuilder.ChannelsFirst(levels, 1, height * width, 3)));

        using var scope = new StepScope(device, record: false);
        var expected = new Dictionary<string, OnnxTensor>();
        model.Trace(ModelInput.Normalize(scope, pixels, 1, height, width), (name, output) =>
        {
            if (found.ContainsKey(name))
                expected[name] = Read(output);
        });
        return [.. found.Select(f => Compare(f.Key, expected[f.Key], f.Value))];
    }

    private static OnnxDifference Compare(string name, OnnxTensor expected, OnnxTensor found)
    {
        if (!expected.Shape.SequenceEqual(found.Shape))
            throw new DataException($"ONNX output {name}: expects the shape [{string.Join(',', expected.Shape)}] but is [{string.Join(',', found.Shape)}]");
        double largest = 0, difference = 0;
        for (int i = 0; i < expected.Floats.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs((double)expected.Floats[i]));
            difference = Math.Max(difference, Math.Abs((double)expected.Floats[i] - found.Floats[i]));
        }
        return new(name, largest, difference);
    }

    private static OnnxTensor Read(Tensor output)
    {
        var values = new float[output.Shape.Length];
        output.Scope.Device.Download<float>(output.View, values);
        int batch = output.Shape[0], height = output.Shape[1], width = output.Shape[2], channels = output.Shape[3];
        return new([batch, channels, height, width], OnnxBuilder.ChannelsFirst(values, batch, height * width, channels));
    }
}
