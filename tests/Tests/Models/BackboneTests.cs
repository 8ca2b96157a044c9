using System.Text.Json;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public class BackboneTests
{
    [Theory]
    [InlineData(18, 11_176_512)]
    [InlineData(34, 21_284_672)]
    [InlineData(50, 23_508_032)]
    [InlineData(101, 42_500_160)]
    public void ResNetHasThePublishedNumberOfParameters(int depth, long expected) =>
        Assert.Equal(expected, Count(new ResNet(ResNetPlan.Of(depth))));

    [Fact]
    public void DarkNetHasThePublishedNumberOfParameters() => Assert.Equal(40_584_928, Count(new DarkNet()));

    [Theory]
    [InlineData(18)]
    [InlineData(34)]
    [InlineData(50)]
    [InlineData(101)]
    public void ResNetHasTheNamesAndShapesOfThePublishedStateDictionary(int depth)
    {
        string path = GoldenFolder.Require("state_dict", $"resnet{depth}.json");
        using var golden = JsonDocument.Parse(File.ReadAllText(path));
        var expected = golden.RootElement.GetProperty("tensors").EnumerateArray()
            .Select(t => (Name: t.GetProperty("name").GetString()!, Shape: t.GetProperty("shape").EnumerateArray().Select(s => s.GetInt32()).ToArray()))
            .Where(t => !t.Name.EndsWith("num_batches_tracked"))
            .Select(t => $"{t.Name} {string.Join('x', t.Shape)}").Order(StringComparer.Ordinal);
        var net = new ResNetClassifier(ResNetPlan.Of(depth));
        var got = net.NamedParameters().Select(p => (p.Name, p.Parameter.Shape)).Concat(net.NamedBuffers().Select(b => (b.Name, b.Buffer.Shape)))
            .Select(t => $"{t.Name} {string.Join('x', ChannelsFirst(t.Shape))}").Order(StringComparer.Ordinal);
        Assert.Equal(expected, got);
    }

    [Fact]
    public void FeaturesHaveStrides4To32()
    {
        foreach (var (backbone, channels) in new (Backbone, int[])[]
        {
            (new ResNet(ResNetPlan.Of(18)), [64, 128, 256, 512]),
            (new ResNet(ResNetPlan.Of(18, divisor: 4)), [16, 32, 64, 128]),
            (new ResNet(ResNetPlan.Of(50)), [256, 512, 1024, 2048]),
            (new DarkNet(), [128, 256, 512, 1024]),
        })
        {
            using var device = new ShapeDevice();
            using var weights = new FrozenWeights(backbone, device);
            using var scope = new StepScope(device, record: false);
            var features = backbone.Forward(scope.Rent(new Shape(2, 96, 64, 3), "images"));
            Assert.Equal(channels, backbone.Channels);
            for (int i = 0; i < 4; i++)
                Assert.Equal(new Shape(2, 96 / (4 << i), 64 / (4 << i), channels[i]), features[i].Shape);
        }
    }

    private static long Count(Module module) => module.NamedParameters().Sum(p => p.Parameter.Shape.Length);

    private static int[] ChannelsFirst(Shape shape) => shape.Rank == 4 ? [shape[0], shape[3], shape[1], shape[2]] : shape.ToArray();
}
