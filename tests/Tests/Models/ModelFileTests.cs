using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public sealed class ModelFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("model-file").FullName;
    private readonly CpuDevice device = new(2);

    private string FilePath => Path.Combine(folder, "model.safetensors");

    public void Dispose()
    {
        device.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void WhatWasSavedComesBackBitForBit()
    {
        using var set = Save();
        var file = ModelFile.Open(FilePath);
        Assert.Equal("ttfnet-nano", file.ModelName);
        Assert.Equal(["cup", "größe \"m\""], file.Classes);
        Assert.Equal(64, file.ImageSize);
        var model = file.CreateModel();
        using var weights = file.Freeze(model, device);
        Assert.False(model.IsTraining);
        Assert.Equal(set.Named.Select(n => n.Name), model.NamedParameters().Select(n => n.Name));
        foreach (var (before, after) in set.Named.Zip(model.NamedParameters()))
            Assert.True(before.Parameter.Value.AsFloats().SequenceEqual(after.Parameter.Value.AsFloats()), before.Name);
        foreach (var (before, after) in set.NamedBuffers.Zip(model.NamedBuffers()))
            Assert.True(before.Buffer.Value.AsFloats().SequenceEqual(after.Buffer.Value.AsFloats()), before.Name);
    }

    [Fact]
    public void StateOfATrainingRunIsNoPartOfTheModel()
    {
        using var set = Save([("state.momentum", [2], new float[] { 1, float.NaN })], new Dictionary<string, string> { ["step"] = "7" });
        var file = ModelFile.Open(FilePath);
        file.Freeze(file.CreateModel(), device).Dispose();
        Assert.Equal("7", SafeTensorsFile.Read(FilePath).Metadata["step"]);
    }

    [Fact]
    public void ADisposedFileLeavesNothingOnTheDevice()
    {
        long before = device.Pool.LiveBytes;
        Save().Dispose();
        var file = ModelFile.Open(FilePath);
        file.Freeze(file.CreateModel(), device).Dispose();
        Assert.Equal(before, device.Pool.LiveBytes);
    }

    [Theory]
    [InlineData("ttfnet-nano", "cup,größe", "class 1 is größe \"m\" but in the data it is größe")]
    [InlineData("ttfnet-nano", "cup", "was trained on 2 classes but the data has 1")]
    [InlineData("ttfnet-18", "cup,größe \"m\"", "holds the model ttfnet-nano but ttfnet-18 was asked for")]
    public void AnotherModelOrClassListIsRefused(string name, string classes, string expected)
    {
        Save().Dispose();
        var model = ModelCatalog.Create(name, classes.Split(','));
        using var weights = new FrozenWeights(model, device);
        Assert.Contains(expected, Refusal(() => ModelFile.Open(FilePath).CopyTo(model, device)));
    }

    public static TheoryData<string, string, string?, string> WrongMetadata => new()
    {
        { "format", "missing", null, "metadata format is missing; this is not a model file of cudakernels" },
        { "format", "other", "pt", "metadata format expects \"cudakernels\" but is \"pt\"" },
        { "layout", "other", "nchw", "metadata layout expects \"nhwc\" but is \"nchw\"" },
        { "model", "unknown", "ttfnet-2", "did you mean ttfnet-" },
        { "classes", "no JSON", "cup", "metadata classes expects a JSON list of names but is cup" },
        { "classes", "empty", "[]", "metadata classes expects a JSON list" },
        { "classes", "null", "[null]", "metadata classes expects a JSON list" },
        { "classes", "nested", "[[1]]", "metadata classes expects a JSON list" },
        { "imgsz", "text", "big", "metadata imgsz expects a number of pixels but is \"big\"" },
        { "imgsz", "odd", "100", "imgsz expects a multiple of 32 up to 8192 but is 100" },
        { "imgsz", "hostile", "2147483616", "imgsz expects a multiple of 32 up to 8192 but is 2147483616" },
    };

    [Theory]
    [MemberData(nameof(WrongMetadata))]
    public void MetadataIsChecked(string key, string _, string? value, string expected)
    {
        Save().Dispose();
        Rewrite(tensors => tensors, metadata =>
        {
            metadata.Remove(key);
            if (value is not null)
                metadata[key] = value;
        });
        Assert.Contains(expected, Refusal(() => Detector.Load(FilePath)));
    }

    [Fact]
    public void AMissingTensorIsNamed()
    {
        Save().Dispose();
        Rewrite(tensors => tensors.Where(t => t.Name != "up2.norm.weight"));
        Assert.Contains("tensor up2.norm.weight of ttfnet-nano is missing", Refusal(() => Detector.Load(FilePath)));
    }

    [Fact]
    public void AnUnknownTensorIsNamed()
    {
        Save().Dispose();
        Rewrite(tensors => tensors.Append(("up4.norm.weight", [1], new float[] { 1 })));
        Assert.Contains("tensor up4.norm.weight is no part of ttfnet-nano", Refusal(() => Detector.Load(FilePath)));
    }

    [Fact]
    public void ATensorOfAnotherShapeIsNamed()
    {
        Save().Dispose();
        Rewrite(tensors => tensors.Select(t => t.Name == "size.0.bias" ? (t.Name, [2], new float[2]) : t));
        Assert.Contains("tensor size.0.bias expects shape [16] but is [2]", Refusal(() => Detector.Load(FilePath)));
    }

    [Theory]
    [InlineData(float.NaN, "NaN")]
    [InlineData(float.PositiveInfinity, "Infinity")]
    public void WeightsThatAreNotFiniteAreRefused(float value, string text)
    {
        Save().Dispose();
        Rewrite(tensors => tensors.Select(t => t.Name != "backbone.bn1.running_var" ? t
            : (t.Name, t.Shape, t.Values.ToArray().Select((v, i) => i == 3 ? value : v).ToArray())));
        Assert.Contains($"tensor backbone.bn1.running_var holds {text} at element 3", Refusal(() => Detector.Load(FilePath)));
    }

    [Fact]
    public void AMissingFileIsNamed() => Assert.Contains("model.safetensors", Refusal(() => Detector.Load(FilePath)));

    private string Refusal(Action action)
    {
        string message = Assert.Throws<DataException>(action).Message;
        Assert.StartsWith(FilePath, message);
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private ParameterSet Save(IEnumerable<(string, int[], ReadOnlyMemory<float>)>? state = null, Dictionary<string, string>? metadata = null)
    {
        var model = ModelCatalog.Create("ttfnet-nano", ["cup", "größe \"m\""]);
        var set = new ParameterSet(model, device, seed: 2);
        ModelFile.Save(FilePath, model.Info, set, 64, state, metadata);
        return set;
    }

    private void Rewrite(
        Func<IEnumerable<(string Name, int[] Shape, ReadOnlyMemory<float> Values)>, IEnumerable<(string, int[], ReadOnlyMemory<float>)>> tensors,
        Action<Dictionary<string, string>>? metadata = null)
    {
        var file = SafeTensorsFile.Read(FilePath);
        var changed = new Dictionary<string, string>(file.Metadata);
        metadata?.Invoke(changed);
        SafeTensorsFile.Write(FilePath, tensors(file.Tensors.Select(t => (t.Name, t.Shape, (ReadOnlyMemory<float>)t.ToFloats()))), changed);
    }
}
