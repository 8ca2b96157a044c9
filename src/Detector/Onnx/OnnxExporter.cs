using System.Globalization;
using System.Text.Json;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// Writes a network down as ONNX by running it once on a small picture and reading the tape. Input "images": float32 (N,3,H,W), red, green, blue
/// in levels 0 to 255; the graph begins with their normalisation. Outputs are the stages that no other stage reads, under their names:
/// of TTFNet "heatmap" (logits, before the sigmoid) and "size". N, H and W stay open.
/// </summary>
internal static class OnnxExporter
{
    public const string Input = "images";

    /// <param name="model">With memory on the device and in inference mode.</param>
    /// <param name="device">Runs it once.</param>
    /// <param name="imageSize">Side of the square input the model was trained on, for the file's metadata.</param>
    /// <exception cref="DataException">The network has an operation that has no counterpart in ONNX; the message names it.</exception>
    public static OnnxGraph Export(DetectionModel model, Device device, int imageSize)
    {
        var info = model.Info;
        using var scope = new StepScope(device, record: true);
        int side = 2 * info.InputMultiple;
        var images = scope.Rent(new Shape(1, side, side, 3), Input);
        device.Fill(images.View, 0);
        var stages = new List<(string Name, Tensor Output)>();
        model.Trace(images, (name, output) => stages.Add((name, output)));

        var graph = new OnnxGraph(info.Name);
        var builder = new OnnxBuilder(graph, device);
        foreach (var (name, parameter) in model.NamedParameters())
            builder.Call(parameter.Value, name);
        foreach (var (name, buffer) in model.NamedBuffers())
            builder.Call(buffer.Value, name);
        foreach (var (name, output) in stages)
            builder.Call(output, name);
        builder.Call(images, Normalized(builder));
        foreach (var node in scope.Recorded)
            OnnxOps.Append(builder, node);

        string multiple = $"multiples of {info.InputMultiple}";
        graph.Inputs.Add(new(Input, ["batch", "3", "height", "width"], $"red, green, blue in levels 0 to 255; height and width are {multiple}"));
        var read = scope.Recorded.SelectMany(node => node.Trace.Inputs).ToHashSet();
        foreach (var (name, output) in stages.Where(s => !read.Contains(s.Output)))
            graph.Outputs.Add(new(name, ["batch", Text(output.Shape.Channels), "map_height", "map_width"],
                $"a cell for every {Text(side / output.Shape[1])} pixels, as the network gives it: a heatmap holds logits"));
        graph.Metadata["model"] = info.Name;
        graph.Metadata["classes"] = JsonSerializer.Serialize(info.Classes);
        graph.Metadata["imgsz"] = Text(imageSize);
        return graph;
    }

    private static string Normalized(OnnxBuilder builder)
    {
        var (mean, deviation) = (ModelInput.Mean, ModelInput.Deviation);
        string centred = builder.Add("Sub", [Input, builder.Constant("mean", mean[0], mean[1], mean[2])]);
        return builder.Add("Div", [centred, builder.Constant("deviation", deviation[0], deviation[1], deviation[2])]);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
