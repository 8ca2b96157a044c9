using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Tape gradients of small nets against central differences.</summary>
public class GradientTests
{
    private static (float[], int[]) Input(int seed, params int[] shape) =>
        (KernelTest.Random(seed, shape.Aggregate(1, (a, b) => a * b)), shape);

    [Fact]
    public void ConvolutionWithFusedActivation()
    {
        var conv = new Conv2d(3, 4, 3, stride: 2, activation: Activation.LeakyRelu(0.1f), biasInit: Init.Normal(0.5f));
        LayerTest.CheckGradients(conv, [Input(1, 2, 5, 6, 3)], x => conv.Forward(x[0]));
    }

    [Fact]
    public void GroupedDilatedConvolutionWithoutBias()
    {
        var conv = new Conv2d(4, 6, 3, dilation: 2, groups: 2, bias: false, activation: Activation.Relu);
        LayerTest.CheckGradients(conv, [Input(2, 1, 5, 4, 4)], x => conv.Forward(x[0]));
    }

    [Theory]
    [InlineData(1, 0, 0, 1)]
    [InlineData(2, 1, 1, 1)]
    [InlineData(2, 1, 0, 2)]
    public void TransposedConvolution(int stride, int padding, int outputPadding, int groups)
    {
        var conv = new ConvTranspose2d(4, 2, 3, stride, padding, outputPadding, groups: groups);
        LayerTest.CheckGradients(conv, [Input(3, 2, 3, 4, 4)], x => Functional.Add(conv.Forward(x[0]), conv.Forward(x[0])));
    }

    [Theory]
    [InlineData(1, 1, true)]
    [InlineData(2, 2, false)]
    public void DeformableConvolution(int stride, int groups, bool bias)
    {
        var conv = new ModulatedDeformConv2d(4, 2, 3, stride, groups: groups, offsetGroups: groups, bias: bias);
        // Offsets that are no integers: there the bilinear sample has a kink.
        var shift = new Conv2d(4, 4, 1, init: Init.Normal(0.5f));
        var net = new LayerTest.Holder(("shift", shift), ("deform", conv));
        foreach (var (name, parameter) in net.NamedParameters())
            Assert.True(!name.StartsWith("deform.conv_offset_mask") || parameter.Initializer == Init.Zero);
        LayerTest.CheckGradients(net, [Input(21, 2, 5, 4, 4)], x => conv.Forward(shift.Forward(x[0])), tolerance: 1e-2,
            prepare: set => Disturb(set, "deform.conv_offset_mask"));
    }

    [Fact]
    public void ANewDeformableConvolutionIsHalfAConvolution()
    {
        using var device = new CpuDevice(2);
        var deform = new ModulatedDeformConv2d(4, 3, 3, stride: 2);
        var conv = new Conv2d(4, 3, 3, stride: 2, bias: false);
        using var set = new ParameterSet(new LayerTest.Holder(("deform", deform), ("conv", conv)), device, 1);
        device.Copy(deform.Weight.Value, conv.Weight.Value);
        using var scope = new StepScope(device, record: false);
        var x = scope.Upload<float>(KernelTest.Random(1, 2 * 7 * 6 * 4), new Shape(2, 7, 6, 4), "images");
        var expected = LayerTest.Read(conv.Forward(x)).Select(v => 0.5 * v).ToArray();
        KernelTest.Close(expected, LayerTest.Read(deform.Forward(x)), Tolerance.Sum, "half a convolution");
        Assert.Equal(["weight", "bias", "conv_offset_mask.weight", "conv_offset_mask.bias"], deform.NamedParameters().Select(p => p.Name));
    }

    [Fact]
    public void LinearLayers()
    {
        var net = new Sequential(new Linear(5, 7, activation: Activation.Relu), new Linear(7, 3, bias: false));
        LayerTest.CheckGradients(net, [Input(4, 6, 5)], x => net.Forward(x[0]));
    }

    [Fact]
    public void ResidualBlock()
    {
        Conv2d first = new(3, 4, 3, bias: false), second = new(4, 4, 3, bias: false), shortcut = new(3, 4, 1, bias: false);
        BatchNorm2d norm1 = new(4), norm2 = new(4), norm3 = new(4);
        var block = new LayerTest.Holder(("conv1", first), ("bn1", norm1), ("conv2", second), ("bn2", norm2), ("down", shortcut), ("bn3", norm3));
        LayerTest.CheckGradients(block, [Input(5, 2, 4, 4, 3)], x =>
        {
            var y = norm1.Forward(first.Forward(x[0]), Activation.Relu);
            var other = norm3.Forward(shortcut.Forward(x[0]));
            y = norm2.Forward(second.Forward(y), Activation.Relu, other);
            return Functional.Add(y, Functional.Relu(Functional.Add(y, other)));
        }, tolerance: 1e-2);
    }

    [Fact]
    public void BatchNormWithIdentityResidualSharedWithAnotherReader()
    {
        var conv = new Conv2d(3, 3, 3, bias: false);
        var norm = new BatchNorm2d(3);
        var block = new LayerTest.Holder(("conv", conv), ("bn", norm));
        LayerTest.CheckGradients(block, [Input(6, 2, 3, 5, 3)],
            x => Functional.Add(norm.Forward(conv.Forward(x[0]), Activation.LeakyRelu(0.2f), residual: x[0]), x[0]), tolerance: 1e-2);
    }

    [Fact]
    public void BatchNormInEvaluationMode()
    {
        var block = new ConvBlock(3, 5, 3, activation: Activation.LeakyRelu(0.1f));
        block.Train(false);
        LayerTest.CheckGradients(block, [Input(7, 2, 4, 3, 3)], x => block.Forward(x[0]));
    }

    [Fact]
    public void GroupNormSharedWithAnotherReader()
    {
        var conv = new Conv2d(3, 6, 3, bias: false);
        var norm = new GroupNorm(3, 6);
        var block = new LayerTest.Holder(("conv", conv), ("norm", norm));
        LayerTest.CheckGradients(block, [Input(22, 2, 3, 5, 3)], x =>
        {
            var y = conv.Forward(x[0]);
            return Functional.Add(norm.Forward(norm.Forward(y, Activation.LeakyRelu(0.2f))), y);
        }, tolerance: 1e-2);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ResizeAndConcat(bool alignCorners)
    {
        LayerTest.CheckGradients(null, [Input(8, 2, 3, 4, 2), Input(9, 2, 6, 7, 3)], x => Functional.Concat(
            x[1], Functional.UpsampleBilinear(x[0], 6, 7, alignCorners), Functional.UpsampleNearest(x[0], 6, 7), x[1]));
    }

    [Fact]
    public void AveragePooling()
    {
        var head = new Linear(3, 4);
        LayerTest.CheckGradients(head, [Input(24, 2, 5, 7, 3)], x =>
        {
            var windowed = Functional.AveragePool(x[0], Window.Square(3, 2, 1), ceil: true, countPadding: false);
            var parts = Functional.AdaptiveAveragePool(Functional.Add(windowed, Functional.AveragePool(x[0], Window.Square(3, 2, 1))), 2, 5);
            return head.Forward(Functional.Add(Functional.GlobalAveragePool(parts), Functional.GlobalAveragePool(x[0])));
        });
    }

    [Fact]
    public void RoiAlignOfASharedMap() => LayerTest.CheckGradients(null, [Input(23, 2, 5, 6, 3)], x =>
    {
        var rois = x[0].Scope.Upload<float>([0, 1, 2, 9, 7, 1, 0, 0, 20, 11, 1, 4, 4, 5, 5], new Shape(3, 5), "rois");
        return Functional.Concat(Functional.RoiAlign(x[0], rois, 2, 3, new RoiAlignRule(0.5f)), Functional.RoiAlign(x[0], rois, 2, 3, new RoiAlignRule(0.5f, 2, false)));
    });

    [Theory]
    [InlineData(3, 2, 1, false)]
    [InlineData(2, 2, 0, true)]
    public void MaxPooling(int kernel, int stride, int padding, bool ceil)
    {
        LayerTest.CheckGradients(null, [Input(10, 2, 5, 7, 3)], x =>
        {
            var pooled = Functional.MaxPool(x[0], Window.Square(kernel, stride, padding), ceil);
            return Functional.Concat(pooled, Functional.MaxPool(x[0], Window.Square(kernel, stride, padding), ceil));
        });
    }

    [Fact]
    public void PointwiseChain()
    {
        LayerTest.CheckGradients(null, [Input(11, 3, 5)], x =>
        {
            var y = Functional.Scale(Functional.Sigmoid(Functional.LeakyRelu(x[0], 0.3f)), -2.5f);
            return Functional.Add(Functional.Add(y, y), Functional.Add(Functional.Relu(y), Functional.Scale(Functional.Sigmoid(y), 4)));
        });
    }

    [Fact]
    public void HeatmapFocal()
    {
        var target = new float[2 * 3 * 4 * 2];
        for (int i = 0; i < target.Length; i++)
            target[i] = i % 7 == 0 ? 1 : i % 3 * 0.3f;
        LayerTest.CheckGradients(null, [Input(12, 2, 3, 4, 2)],
            x => Losses.HeatmapFocal(x[0], Constant(x[0], target), weight: 30));
    }

    [Fact]
    public void SigmoidFocal()
    {
        float[] target = [1, 0, 0, 1, 0.3f, 0, 1, 0, 1, 0];
        LayerTest.CheckGradients(null, [Input(13, 5, 2)], x => Losses.SigmoidFocal(x[0], Constant(x[0], target), weight: 20,
            elementWeights: Constant(x[0], KernelTest.Random(14, 10)), normalizer: Number(x[0], 2)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Giou(float offset)
    {
        float[] boxes = [1, 1, 5, 4, 2, 1, 3.5f, 6, 0, 0, 1, 1], target = [2, 2, 6, 5, 2.5f, 1.5f, 3, 5, 4, 5, 7, 8];
        LayerTest.CheckGradients(null, [(boxes, [3, 4])], x => Losses.Giou(x[0], Constant(x[0], target), weight: 3, offset: offset,
            elementWeights: x[0].Scope.Upload<float>([1, 2, 0.5f], new Shape(3), "weights")), step: 1e-2f);
    }

    [Fact]
    public void TtfBox()
    {
        var prediction = KernelTest.Random(15, 2 * 2 * 3 * 4, 3).Select(v => v + 6).ToArray();
        float[] target = [.. Enumerable.Range(0, 12).SelectMany(i => new[] { i % 3 * 4 - 5f, i / 3 % 2 * 4 - 4.5f, i % 3 * 4 + 7f, i / 3 % 2 * 4 + 5.2f })];
        float[] weights = [.. Enumerable.Range(0, 12).Select(i => i % 4 == 0 ? 0f : i * 0.1f)];
        LayerTest.CheckGradients(null, [(prediction, [2, 2, 3, 4])], x => Losses.TtfBox(x[0], Constant(x[0], target),
            x[0].Scope.Upload<float>(weights, new Shape(2, 2, 3), "weights"), stride: 4, weight: 5), step: 1e-2f);
    }

    [Fact]
    public void Distances()
    {
        var target = KernelTest.Random(17, 12);
        LayerTest.CheckGradients(null, [Input(16, 3, 4)], x => Losses.L1(x[0], Constant(x[0], target), weight: 2));
        LayerTest.CheckGradients(null, [Input(16, 3, 4)],
            x => Losses.SmoothL1(x[0], Constant(x[0], target), weight: 2, beta: 0.5f, normalizer: Number(x[0], 4)));
    }

    [Fact]
    public void CrossEntropies()
    {
        LayerTest.CheckGradients(null, [Input(18, 4, 3)],
            x => Losses.BceWithLogits(x[0], Constant(x[0], [.. KernelTest.Random(19, 12).Select(MathF.Abs)]), weight: 3));
        LayerTest.CheckGradients(null, [Input(20, 4, 3)], x => Losses.SoftmaxCrossEntropy(x[0],
            x[0].Scope.Upload<int>([2, 0, -100, 1], new Shape(4), "classes", DType.I32), weight: 6));
    }

    private static void Disturb(ParameterSet set, string prefix)
    {
        foreach (var (name, parameter) in set.Named.Where(n => n.Name.StartsWith(prefix)))
            set.Device.Upload<float>(KernelTest.Random(name.Length, parameter.Shape.Length, 0.15f), parameter.Value);
    }

    private static Tensor Constant(Tensor like, float[] values) => like.Scope.Upload<float>(values, like.Shape, "target");

    private static Tensor Number(Tensor like, float value) => like.Scope.Upload<float>([value], new Shape(1), "normalizer");
}
