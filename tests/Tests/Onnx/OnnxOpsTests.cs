using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Every operation that has an ONNX counterpart: the graph made of its node, run by the independent runner, gives what the operation gives.</summary>
public class OnnxOpsTests
{
    private static readonly (Module Module, Func<Tensor, Tensor> Forward) None = (new LayerTest.Holder(), x => x);

    public static TheoryData<string> Operations => [.. Cases.Keys];

    private static readonly Dictionary<string, Func<(Module Module, Func<Tensor, Tensor> Forward)>> Cases = new()
    {
        ["convolution"] = () => Unary(new Conv2d(8, 6, 3, stride: 2, padding: 2, dilation: 2, groups: 2, activation: Activation.LeakyRelu(0.1f))),
        ["1x1 without bias"] = () => Unary(new Conv2d(8, 5, 1, bias: false, activation: Activation.Relu)),
        ["transposed convolution"] = () => Unary(new ConvTranspose2d(8, 6, 3, stride: 2, padding: 1, outputPadding: 1, groups: 2)),
        ["deformable convolution"] = () => Unary(new ModulatedDeformConv2d(8, 6, 3, stride: 2, groups: 2, offsetGroups: 4)),
        ["deformable without bias"] = () => Unary(new ModulatedDeformConv2d(8, 6, 3, bias: false)),
        ["batch norm"] = () =>
        {
            var norm = new BatchNorm2d(8, epsilon: 0.1f);
            return (norm, x => norm.Forward(x, Activation.LeakyRelu(0.2f)));
        },
        ["batch norm with residual"] = () =>
        {
            var norm = new BatchNorm2d(8);
            return (norm, x => norm.Forward(Functional.Sigmoid(x), Activation.Relu, residual: x));
        },
        ["group norm"] = () =>
        {
            var norm = new GroupNorm(4, 8, epsilon: 0.1f);
            return (norm, x => norm.Forward(x, Activation.Relu));
        },
        ["relu"] = () => None with { Forward = Functional.Relu },
        ["leaky relu"] = () => None with { Forward = x => Functional.LeakyRelu(x, 0.3f) },
        ["sigmoid"] = () => None with { Forward = Functional.Sigmoid },
        ["scale"] = () => None with { Forward = x => Functional.Scale(x, -1.5f) },
        ["add"] = () => None with { Forward = x => Functional.Add(x, Functional.Scale(x, 3)) },
        ["concat"] = () => None with { Forward = x => Functional.Concat(x, Functional.Relu(x), x) },
        ["max pool"] = () => None with { Forward = x => Functional.MaxPool(x, Window.Square(3, stride: 2, padding: 1)) },
        ["max pool, rounded up"] = () => None with { Forward = x => Functional.MaxPool(x, Window.Square(2, stride: 2), ceil: true) },
        ["bilinear, corners aligned"] = () => None with { Forward = x => Functional.UpsampleBilinear(x, 3 * x.Shape[1], 2 * x.Shape[2], alignCorners: true) },
        ["bilinear, half pixels"] = () => None with { Forward = x => Functional.UpsampleBilinear(x, 3 * x.Shape[1], 2 * x.Shape[2], alignCorners: false) },
        ["nearest"] = () => None with { Forward = x => Functional.UpsampleNearest(x, 2 * x.Shape[1], 3 * x.Shape[2]) },
    };

    [Theory]
    [MemberData(nameof(Operations))]
    public void TheGraphGivesWhatTheOperationGives(string operation)
    {
        var (module, forward) = Cases[operation]();
        using var device = new CpuDevice(1);
        using var set = RandomWeights.Of(module, device);
        int[] shape = [2, 7, 9, 8];
        float[] values = KernelTest.Random(5, 2 * 7 * 9 * 8);
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, values, shape);
        var expected = forward(x);
        var found = Run(module, device, scope, x, new([2, 8, 7, 9], OnnxBuilder.ChannelsFirst(values, 2, 7 * 9, 8)), expected);
        Assert.Equal([2, expected.Shape[3], expected.Shape[1], expected.Shape[2]], found.Shape);
        Same(OnnxBuilder.ChannelsFirst(LayerTest.Read(expected), 2, expected.Shape[1] * expected.Shape[2], expected.Shape[3]), found.Floats);
    }

    [Fact]
    public void LinearBecomesGemm()
    {
        using var device = new CpuDevice(1);
        var module = new Linear(6, 4, activation: Activation.Relu);
        using var set = RandomWeights.Of(module, device);
        float[] values = KernelTest.Random(5, 3 * 6);
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, values, 3, 6);
        var expected = module.Forward(x);
        Same(LayerTest.Read(expected), Run(module, device, scope, x, new([3, 6], values), expected).Floats);
    }

    [Fact]
    public void AnOperationWithoutARowFailsByName()
    {
        using var device = new CpuDevice(1);
        using var scope = new StepScope(device, record: true);
        var y = LayerTest.Leaf(scope, new float[4], 1, 1, 1, 4);
        LayerTest.WeightedSum(y);
        var error = Assert.Throws<DataException>(() => OnnxOps.Append(new OnnxBuilder(new OnnxGraph("x"), device), scope.Recorded[0]));
        Assert.Contains("WeightedSum has no row", error.Message);
    }

    [Fact]
    public void AResizeByABrokenFactorFailsByItsSizes()
    {
        using var device = new CpuDevice(1);
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, new float[6], 1, 2, 3, 1);
        var y = Functional.UpsampleNearest(x, 4, 5);
        Assert.Contains("2x3 to 4x5", Assert.Throws<DataException>(() => Run(new LayerTest.Holder(), device, scope, x, new([1, 1, 2, 3], new float[6]), y)).Message);
    }

    [Fact]
    public void StatisticsOfABatchAreNoWeights()
    {
        using var device = new CpuDevice(1);
        var norm = new BatchNorm2d(1);
        using var set = new ParameterSet(norm, device, seed: 1);
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, new float[4], 1, 2, 2, 1);
        var y = norm.Forward(x);
        Assert.Contains("training mode", Assert.Throws<DataException>(() => Run(norm, device, scope, x, new([1, 1, 2, 2], new float[4]), y)).Message);
    }

    private static (Module, Func<Tensor, Tensor>) Unary(UnaryModule module) => (module, module.Forward);

    /// <summary>Builds the graph of what is on the tape, sends it through a file and runs it.</summary>
    private static OnnxTensor Run(Module module, CpuDevice device, StepScope scope, Tensor x, OnnxTensor input, Tensor result)
    {
        var graph = new OnnxGraph("test");
        var builder = new OnnxBuilder(graph, device);
        foreach (var (name, parameter) in module.NamedParameters())
            builder.Call(parameter.Value, name);
        foreach (var (name, buffer) in module.NamedBuffers())
            builder.Call(buffer.Value, name);
        builder.Call(x, "x");
        foreach (var node in scope.Recorded)
            OnnxOps.Append(builder, node);
        graph.Outputs.Add(new(builder.Value(result), [], ""));
        using var folder = new TempFolder();
        OnnxFile.Write(folder["a.onnx"], graph);
        return Assert.Single(OnnxRunner.Run(OnnxFile.Read(folder["a.onnx"]), new Dictionary<string, OnnxTensor> { ["x"] = input })).Value;
    }

    private static void Same(float[] expected, float[] found)
    {
        Assert.Equal(expected.Length, found.Length);
        float largest = expected.Max(MathF.Abs);
        Assert.True(largest > 0.1f, $"the largest value is {largest}: the case tests nothing");
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - found[i]) <= 2e-5 * largest, $"[{i}]: {expected[i]} and {found[i]}, largest {largest}");
    }
}
