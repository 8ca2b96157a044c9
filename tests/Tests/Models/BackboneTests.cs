using System.Text.Json;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
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
            .Where(t => !t.Name.StartsWith("fc.") && !t.Name.EndsWith("num_batches_tracked"))
            .Select(t => $"{t.Name} {string.Join('x', t.Shape)}").Order(StringComparer.Ordinal);
        var net = new ResNet(ResNetPlan.Of(depth));
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

    [Theory]
    [InlineData("resnet18_narrow")]
    [InlineData("resnet50_narrow")]
    public void ResNetAgreesWithTorchvision(string model)
    {
        var file = GoldenFile.Load(GoldenFolder.Require("models", model, "weights_eval_train.safetensors"));
        using var device = new CpuDevice(2);
        var net = new Classifier(file);
        using var set = new ParameterSet(net, device, seed: 1);
        foreach (var (name, parameter) in set.Named)
            device.Upload<float>(Read(file, "w." + Published(name)), parameter.Value);
        foreach (var (name, buffer) in set.NamedBuffers)
            device.Upload<float>(Read(file, "w." + Published(name)), buffer.Value);
        int[] shape = file.Shape("x");
        var pixels = Read(file, "x");
        var inputShape = new Shape(shape[0], shape[2], shape[3], shape[1]);

        net.Train(false);
        using (var scope = new StepScope(device, record: false))
            KernelTest.Close(file.F64("eval_logits"), net.Forward(scope.Upload<float>(pixels, inputShape, "x")).View.AsFloats(),
                Tolerance.Norm, $"{model} eval_logits");

        net.Train(true);
        using (var scope = new StepScope(device, record: true))
        {
            var logits = net.Forward(scope.Upload<float>(pixels, inputShape, "x"));
            KernelTest.Close(file.F64("train_logits"), logits.View.AsFloats(), Tolerance.NormGradient, $"{model} train_logits");
            var target = scope.Upload<int>([.. file.I64("target").Select(t => (int)t)], new Shape(shape[0]), "target", DType.I32);
            set.BeginGradients();
            scope.Backward(Losses.SoftmaxCrossEntropy(logits, target));
            set.CompleteGradients();
        }
        foreach (var (name, parameter) in set.Named)
            KernelTest.Close(Read(file, "grad." + Published(name)), parameter.Gradient.AsFloats(), Tolerance.NormGradient with { Plain = 1e-6 }, $"{model} grad.{name}");
        foreach (var (name, buffer) in set.NamedBuffers)
            KernelTest.Close(Read(file, "after1." + Published(name)), buffer.Value.AsFloats(), Tolerance.NormGradient, $"{model} after1.{name}");
    }

    private static long Count(Module module) => module.NamedParameters().Sum(p => p.Parameter.Shape.Length);

    private static int[] ChannelsFirst(Shape shape) => shape.Rank == 4 ? [shape[0], shape[3], shape[1], shape[2]] : shape.ToArray();

    private static string Published(string name) => name.Replace("backbone.", "");

    private static float[] Read(GoldenFile file, string name) =>
        file.Shape(name).Length == 4 ? KernelTest.ToChannelsLast(file.F32(name), file.Shape(name)) : file.F32(name);

    /// <summary>The backbone under torchvision's classifier: mean over the map, then linear.</summary>
    private sealed class Classifier : Module
    {
        private readonly Backbone backbone;
        private readonly Linear fc;

        public Classifier(GoldenFile file)
        {
            int[] stages = [1, 2, 3, 4];
            backbone = Add("backbone", new ResNet(new ResNetPlan(
                file.Shape("w.conv1.weight")[0],
                [.. stages.Select(s => file.Shape($"w.layer{s}.0.conv1.weight")[0])],
                [.. stages.Select(s => Enumerable.Range(0, 99).TakeWhile(b => file.Has($"w.layer{s}.{b}.conv1.weight")).Count())],
                file.Has("w.layer1.0.conv3.weight"))));
            int[] shape = file.Shape("w.fc.weight");
            fc = Add("fc", new Linear(shape[1], shape[0]));
        }

        public Tensor Forward(Tensor x) => fc.Forward(GlobalMean.Of(backbone.Forward(x)[3]));
    }

    private sealed class GlobalMean(Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(GlobalMean);

        public static Tensor Of(Tensor x)
        {
            int batch = x.Shape[0], cells = x.Shape[1] * x.Shape[2], channels = x.Shape[3];
            var y = x.Scope.Rent(new Shape(batch, channels), nameof(GlobalMean), requiresGradient: true);
            Span<float> from = x.View.AsFloats(), to = y.View.AsFloats();
            to.Clear();
            for (int i = 0; i < from.Length; i++)
                to[i / (cells * channels) * channels + i % channels] += from[i] / cells;
            x.Scope.Record(new GlobalMean(x, y));
            return y;
        }

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            int cells = x.Shape[1] * x.Shape[2], channels = x.Shape[3];
            Span<float> from = gradient.AsFloats(), to = sink.For(x).View.AsFloats();
            for (int i = 0; i < to.Length; i++)
                to[i] = from[i / (cells * channels) * channels + i % channels] / cells;
        }
    }
}
