using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class OnnxFileTests
{
    [Fact]
    public void AGraphComesBackAsItWas()
    {
        using var folder = new TempFolder();
        var graph = new OnnxGraph("modèle");
        graph.Nodes.Add(new("first", "Conv", ["images", "weight", ""], ["made", "too"], new Dictionary<string, object>
        {
            ["real"] = 0.1f,
            ["whole"] = -3L,
            ["text"] = "linear",
            ["list"] = new[] { 1L, 0, -1 },
        }));
        graph.Nodes.Add(new("second", "Relu", ["made"], ["out"], new Dictionary<string, object>()));
        graph.Constants["weight"] = new([2, 1, 1, 1], [1.5f, -2]);
        graph.Constants["scalar"] = new([], [float.Epsilon]);
        graph.Constants["sizes"] = OnnxTensor.Of(0, -1, long.MaxValue);
        graph.Inputs.Add(new("images", ["batch", "3", "height", "8"], "levels"));
        graph.Outputs.Add(new("out", ["batch"], ""));
        graph.Metadata["classes"] = "[\"größe\"]";

        OnnxFile.Write(folder["a.onnx"], graph);
        var read = OnnxFile.Read(folder["a.onnx"]);

        Assert.Equal("modèle", read.Name);
        Assert.Equal(graph.Nodes.Count, read.Nodes.Count);
        foreach (var (before, after) in graph.Nodes.Zip(read.Nodes))
        {
            Assert.Equal((before.Name, before.Type), (after.Name, after.Type));
            Assert.Equal(before.Inputs, after.Inputs);
            Assert.Equal(before.Outputs, after.Outputs);
            Assert.Equal(before.Attributes, after.Attributes);
        }
        Assert.Equal(graph.Constants.Keys, read.Constants.Keys);
        foreach (var (name, before) in graph.Constants)
        {
            Assert.Equal(before.Shape, read.Constants[name].Shape);
            Assert.Equal(before.Floats, read.Constants[name].Floats);
            Assert.Equal(before.Integers, read.Constants[name].Integers);
        }
        Assert.Equal(graph.Inputs.Concat(graph.Outputs).SelectMany(v => (string[])[v.Name, v.Description, .. v.Dimensions]),
            read.Inputs.Concat(read.Outputs).SelectMany(v => (string[])[v.Name, v.Description, .. v.Dimensions]));
        Assert.Equal(graph.Metadata, read.Metadata);
    }

    [Fact]
    public void AFileThatIsNoneIsOneLineWithItsPath()
    {
        using var folder = new TempFolder();
        string text = folder.Write("a.onnx", "no graph, only words");
        Assert.StartsWith($"{text}: is damaged or no ONNX file", Assert.Throws<DataException>(() => OnnxFile.Read(text)).Message);
        Assert.StartsWith(folder["b.onnx"], Assert.Throws<DataException>(() => OnnxFile.Read(folder["b.onnx"])).Message);
        Assert.Contains("it holds no graph", Assert.Throws<DataException>(() => OnnxFile.Read(folder.Write("c.onnx", ""))).Message);
    }
}
