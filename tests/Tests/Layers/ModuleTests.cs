using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public sealed class ModuleTests : IDisposable
{
    private readonly CpuDevice device = new(1);

    public void Dispose() => device.Dispose();

    [Fact]
    public void NamesAreDottedPathsInOrderOfDeclaration()
    {
        var net = new LayerTest.Holder(("backbone", new Sequential(new Conv2d(3, 4, 3), new ConvBlock(4, 4, 1))), ("head", new Linear(4, 2)));
        Assert.Equal(["backbone.0.weight", "backbone.0.bias", "backbone.1.conv.weight", "backbone.1.bn.weight", "backbone.1.bn.bias",
            "head.weight", "head.bias"], net.NamedParameters().Select(p => p.Name));
        Assert.Equal(["backbone.1.bn.running_mean", "backbone.1.bn.running_var"], net.NamedBuffers().Select(b => b.Name));
        using var set = new ParameterSet(net, device, 1);
        Assert.Equal(4 * 27 + 4 + 16 + 8 + 10, set.Count);
        Assert.Equal("backbone.1.conv.weight", set.Named[2].Parameter.Name);
    }

    /// <summary>TTFNet: biases learn twice as fast and do not decay, except those of norms whose name starts as bn or gn.</summary>
    [Fact]
    public void TheBiasRuleOfTtfNet()
    {
        var rules = new[] { new GroupRule(@"(bn|gn)\d*.(weight|bias)", 1, 1), new GroupRule(@"bias$", 2, 0) };
        var net = new LayerTest.Holder(("conv1", new Conv2d(1, 1, 1)), ("bn1", new BatchNorm2d(1)), ("downsample", new LayerTest.Holder(("1", new BatchNorm2d(1)))));
        using var set = new ParameterSet(net, device, 1, rules);
        Assert.Equal(2, set.Ranges.Count);
        Assert.Equal(set.Values.Length, set.Ranges.Sum(r => r.Length));
        var factors = set.Named.ToDictionary(n => n.Name, n =>
        {
            long at = n.Parameter.Value.Offset - set.Values.Offset;
            var range = set.Ranges.Single(r => at >= r.Start && at < r.Start + r.Length);
            return (range.RateFactor, range.DecayFactor);
        });
        foreach (string plain in (string[])["conv1.weight", "bn1.weight", "bn1.bias", "downsample.1.weight"])
            Assert.Equal((1, 1), factors[plain]);
        foreach (string fast in (string[])["conv1.bias", "downsample.1.bias"])
            Assert.Equal((2, 0), factors[fast]);
    }

    /// <summary>Without a tape and with fixed statistics a norm goes into its convolution; the values are those of one after the other.</summary>
    [Theory, InlineData(true), InlineData(false)]
    public void AFixedNormIsPartOfItsConvolution(bool bottleneck)
    {
        var net = new ResidualBlock(6, 4, stride: 2, bottleneck);
        using var set = new ParameterSet(net, device, 3);
        device.Upload<float>(KernelTest.Random(1, set.Values.Length), set.Values);
        device.Upload<float>([.. KernelTest.Random(2, set.Buffers.Length).Select(v => v + 1.5f)], set.Buffers);
        net.Train(false);
        float[] Run(bool record)
        {
            using var scope = new StepScope(device, record);
            return LayerTest.Read(net.Forward(scope.Upload<float>(KernelTest.Random(4, 2 * 7 * 6 * 6), new Shape(2, 7, 6, 6), "x")));
        }
        KernelTest.Close(Run(record: true), Run(record: false), Tolerance.Norm, "residual block");
    }

    [Fact]
    public void InitialValuesDependOnSeedAndPlaceNotOnGroups()
    {
        float[] Values(ulong seed, params GroupRule[] rules)
        {
            var net = new Sequential(new Conv2d(3, 5, 3), new Conv2d(5, 2, 1));
            using var set = new ParameterSet(net, device, seed, rules);
            return [.. set.Named.SelectMany(n => LayerTest.Read(device, n.Parameter.Value))];
        }

        var first = Values(1);
        Assert.Equal(first, Values(1));
        Assert.Equal(first, Values(1, new GroupRule("bias", 2, 0)));
        Assert.NotEqual(first, Values(2));
    }

    [Fact]
    public void AModuleHasOnePlaceInOneSet()
    {
        var conv = new Conv2d(1, 1, 1);
        using (var set = new ParameterSet(conv, device, 1))
            Assert.Contains("weight already has memory as weight",
                Assert.Throws<TensorException>(() => new ParameterSet(new LayerTest.Holder(("again", conv)), device, 1)).Message);
        var shared = new Conv2d(1, 1, 1);
        Assert.Contains("b.weight already has memory as a.weight",
            Assert.Throws<TensorException>(() => new ParameterSet(new LayerTest.Holder(("a", shared), ("b", shared)), device, 1)).Message);
    }

    [Fact]
    public void TrainSwitchesTheWholeTree()
    {
        var norm = new BatchNorm2d(2);
        var net = new LayerTest.Holder(("a", new LayerTest.Holder(("b", norm))));
        using var set = new ParameterSet(net, device, 1);
        using var scope = new StepScope(device, record: false);
        var x = scope.Upload<float>([1, 10, 3, 30], new Shape(1, 1, 2, 2), "images");
        KernelTest.Close([-1.0, -1, 1, 1], LayerTest.Read(norm.Forward(x)), Tolerance.Norm, "batch statistics");
        KernelTest.Close([0.2, 2], LayerTest.Read(device, norm.RunningMean.Value), Tolerance.Norm, "running mean");
        KernelTest.Close([0.9 + 0.1 * 2, 0.9 + 0.1 * 200], LayerTest.Read(device, norm.RunningVariance.Value), Tolerance.Norm, "running variance");
        net.Train(false);
        var expected = new[] { 1.0, 10, 3, 30 }.Select((v, i) => (v - (i % 2 == 0 ? 0.2 : 2)) / Math.Sqrt((i % 2 == 0 ? 1.1 : 20.9) + 1e-5)).ToArray();
        KernelTest.Close(expected, LayerTest.Read(norm.Forward(x)), Tolerance.Norm, "running statistics");
        net.Train(true);
        var single = scope.Upload<float>([1, 2], new Shape(1, 1, 1, 2), "single");
        Assert.Contains("more than one value per channel", Assert.Throws<TensorException>(() => norm.Forward(single)).Message);
    }

    [Fact]
    public void LayersRefuseWhatCannotBe()
    {
        Assert.Contains("groups expects a divisor", Assert.Throws<TensorException>(() => new Conv2d(3, 4, 3, groups: 2)).Message);
        Assert.Contains("window expects", Assert.Throws<KernelException>(() => new Conv2d(3, 4, 3, stride: 0)).Message);
        Assert.Contains("output padding", Assert.Throws<TensorException>(() => new ConvTranspose2d(3, 4, 3, stride: 2, outputPadding: 2)).Message);
        Assert.Contains("offset groups", Assert.Throws<TensorException>(() => new ModulatedDeformConv2d(4, 4, 3, offsetGroups: 3)).Message);
    }
}
