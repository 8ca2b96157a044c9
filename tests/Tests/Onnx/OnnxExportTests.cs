using System.Text.Json;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A whole detector as an ONNX file, and the verb that writes it.</summary>
public sealed class OnnxExportTests : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly CpuDevice device = new(2);
    private readonly DetectionModel model = ModelCatalog.Create("ttfnet-nano", ["cup", "größe"]);
    private readonly ParameterSet weights;
    private int exports;

    public OnnxExportTests() => weights = RandomWeights.Of(model, device);

    public void Dispose()
    {
        weights.Dispose();
        device.Dispose();
        folder.Dispose();
    }

    [Fact]
    public void TheFileGivesWhatTheModelGives()
    {
        string path = Export(graph => graph);
        var differences = OnnxCheck.Run(path, model, device);
        Assert.Equal(["heatmap", "size"], differences.Select(d => d.Output));
        Assert.All(differences, d => Assert.True(d.Difference <= 2e-5 * d.Largest && d.Largest > 0.5, d.ToString()));

        var graph = OnnxFile.Read(path);
        Assert.Equal(model.Info.Classes, JsonSerializer.Deserialize<string[]>(graph.Metadata["classes"]));
        Assert.Equal(("ttfnet-nano", "64"), (graph.Metadata["model"], graph.Metadata["imgsz"]));
        Assert.Equal(["batch", "3", "height", "width"], Assert.Single(graph.Inputs).Dimensions);
        Assert.Equal(["2", "4"], graph.Outputs.Select(o => o.Dimensions[1]));
        Assert.Equal([16, 3, 7, 7], graph.Constants["backbone.conv1.weight"].Shape);
        Assert.Equal(3, graph.Nodes.Count(n => n.Type == "DeformConv"));
        Assert.Equal(model.NamedParameters().Select(p => p.Name).Concat(model.NamedBuffers().Select(b => b.Name)).Order(),
            graph.Constants.Keys.Where(k => k.Contains('.')).Order());
    }

    [Theory]
    [InlineData("up2.deform.conv_offset_mask.weight")]
    [InlineData("backbone.layer2.0.bn1.running_mean")]
    [InlineData("backbone.layer3.1.bn2.running_var")]
    [InlineData("mean")]
    public void ADifferenceShows(string constant)
    {
        string path = Export(graph =>
        {
            var found = graph.Constants[constant];
            graph.Constants[constant] = new(found.Shape, Array.ConvertAll(found.Floats, v => 1.5f * v));
            return graph;
        });
        Assert.Contains(OnnxCheck.Run(path, model, device), d => !d.IsWithin);
    }

    [Fact]
    public void AnOutputThatIsNotANumberIsADifference() =>
        Assert.False(new OnnxDifference("size", 1, double.NaN).IsWithin);

    [Fact]
    public void TwoExportsAreEqual() =>
        Assert.Equal(File.ReadAllBytes(Export(graph => graph)), File.ReadAllBytes(Export(graph => graph)));

    [Fact]
    public void TheVerbWritesAndChecks()
    {
        var result = CliProcess.Run("export", "--weights", Save(), "--onnx", folder["a.onnx"], "--json", "-").Json();
        Assert.Equal(new FileInfo(folder["a.onnx"]).Length, (long)result["bytes"]!);
        Assert.Equal(["heatmap", "size"], result["outputs"]!.AsArray().Select(o => (string?)o!["name"]));
        Assert.All(result["outputs"]!.AsArray(), o => Assert.InRange((double)o!["difference"]!, 0, 1e-3 * (double)o["largest"]!));
        Assert.All(OnnxCheck.Run(folder["a.onnx"], model, device), d => Assert.True(d.IsWithin, d.ToString()));
    }

    [Fact]
    public void BadInputIsOneLine()
    {
        string saved = Save();
        CliProcess.Run("export", "--weights", folder["none.safetensors"], "--onnx", folder["a.onnx"]).Fails(1, "none.safetensors");
        CliProcess.Run("export", "--weights", folder.Write("text.safetensors", "no weights at all"), "--onnx", folder["a.onnx"]).Fails(1, "text.safetensors");
        CliProcess.Run("export", "--weights", saved, "--onnx", folder["no/folder/a.onnx"]).Fails(1, "a.onnx", "cannot be written");
        CliProcess.Run("export", "--weights", saved, "--onnx", saved).Fails(2, "model.safetensors", "choose another");
        CliProcess.Run("export", "--weights", saved).Fails(2, "--onnx");
        Assert.False(File.Exists(folder["a.onnx"]));
    }

    private string Save()
    {
        ModelFile.Save(folder["model.safetensors"], model.Info, weights, 64);
        return folder["model.safetensors"];
    }

    private string Export(Func<OnnxGraph, OnnxGraph> change)
    {
        string path = folder[$"{++exports}.onnx"];
        OnnxFile.Write(path, change(OnnxExporter.Export(model, device, 64)));
        return path;
    }
}
