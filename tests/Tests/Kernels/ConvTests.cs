using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class ConvTests
{
    /// <summary>(batch, height, width, in, out, groups, window): edges of tiles, of blocks of depth, of the image;
    /// several splits of the pixels; empty batch.</summary>
    private static readonly (int N, int H, int W, int C, int K, int Groups, Window Window)[] Awkward =
    [
        (1, 1, 1, 1, 1, 1, Window.Square(1)),
        (2, 7, 5, 3, 5, 1, Window.Square(3, 1, 1)),
        (1, 9, 9, 17, 20, 1, Window.Square(3, 2, 1)),
        (1, 13, 6, 20, 80, 1, Window.Square(1)),
        (1, 8, 8, 1, 17, 1, Window.Square(5, 2, 2)),
        (1, 10, 11, 64, 33, 1, Window.Square(3, 1, 1)),
        (1, 6, 6, 500, 3, 1, Window.Square(3, 1, 1)),
        (1, 12, 9, 8, 8, 2, Window.Square(3, 1, 2, 2)),
        (2, 6, 7, 6, 6, 6, Window.Square(3, 1, 1)),
        (1, 9, 8, 21, 21, 21, Window.Square(5, 2, 2)),
        (1, 5, 5, 4, 12, 4, Window.Square(3, 2, 1)),
        (1, 4, 4, 2, 3, 1, Window.Square(1, 3)),
        (1, 9, 14, 3, 4, 1, new Window(5, 3, 2, 1, 1, 2, 1, 2)),
        (1, 3, 20, 40, 8, 1, new Window(1, 7, 1, 2, 0, 3)),
        (1, 40, 40, 3, 16, 1, Window.Square(7, 2, 3)),
        (2, 140, 65, 5, 7, 1, Window.Square(3, 2, 1)),
        (0, 5, 5, 3, 4, 1, Window.Square(3, 1, 1)),
    ];

    public static TheoryData<int, int> Cases
    {
        get
        {
            var data = new TheoryData<int, int>();
            foreach (int lanes in (int[])[1, 4, 8, 16, KernelTest.Gpu, KernelTest.PtxMachine])
                for (int i = 0; i < Awkward.Length; i++)
                    data.Add(lanes, i);
            return data;
        }
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ConvolutionEqualsGolden(int lanes)
    {
        foreach (var path in GoldenFolder.Cases("conv2d"))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            TensorView x = test.Upload(file, "x"), weight = test.Upload(file, "weight"), gradY = test.Upload(file, "grad_out");
            var bias = file.Has("bias") ? test.Upload(file, "bias") : default;
            var window = GoldenWindow(file, weight);
            int groups = file.Attribute("groups")?.GetInt32() ?? 1;
            TensorView y = test.Output(gradY.Shape), gradX = test.Output(x.Shape), gradWeight = test.Output(weight.Shape);
            test.Run(new Conv2dForward(x, weight, bias, y, window, groups));
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Run(new Conv2dInputGradient(gradY, weight, gradX, window, groups));
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
            test.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window, groups));
            test.Compare(file, "grad.weight", gradWeight, Tolerance.SumGradient);
            CompareBiasGradient(test, file, gradY, bias);
        }
    }

    /// <summary>A transposed convolution is the input gradient of a convolution; its own gradients are that convolution and its weight gradient.</summary>
    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void TransposedConvolutionEqualsGolden(int lanes)
    {
        foreach (var path in GoldenFolder.Cases("conv_transpose2d"))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            TensorView x = test.Upload(file, "x"), weight = test.Upload(file, "weight"), gradY = test.Upload(file, "grad_out");
            var bias = file.Has("bias") ? test.Upload(file, "bias") : default;
            var window = GoldenWindow(file, weight);
            int groups = file.Attribute("groups")?.GetInt32() ?? 1;
            TensorView y = test.Output(gradY.Shape), gradX = test.Output(x.Shape), gradWeight = test.Output(weight.Shape);
            test.Run(new Conv2dInputGradient(x, weight, y, window, groups, Bias: bias));
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Run(new Conv2dForward(gradY, weight, default, gradX, window, groups));
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
            test.Run(new Conv2dWeightGradient(gradY, x, gradWeight, window, groups));
            test.Compare(file, "grad.weight", gradWeight, Tolerance.SumGradient);
            CompareBiasGradient(test, file, gradY, bias);
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void AwkwardSizesEqualReference(int lanes, int index)
    {
        var (n, h, w, c, k, groups, window) = Awkward[index];
        using var test = new KernelTest(lanes);
        int p = window.OutHeight(h), q = window.OutWidth(w);
        Shape xShape = new(n, h, w, c), weightShape = new(k, window.KernelHeight, window.KernelWidth, c / groups), yShape = new(n, p, q, k);
        float[] x = KernelTest.Random(1, xShape.Length), weight = KernelTest.Random(2, weightShape.Length), bias = KernelTest.Random(3, k), gradY = KernelTest.Random(4, yShape.Length);
        TensorView xView = test.Upload(x, xShape.ToArray()), weightView = test.Upload(weight, weightShape.ToArray()), gradYView = test.Upload(gradY, yShape.ToArray());
        string what = $"case {index}, {lanes} lanes";

        var reference = new ConvReference(n, h, w, c, k, groups, window);
        double[] y = reference.Forward(x, weight), gradX = reference.InputGradient(gradY, weight), gradWeight = reference.WeightGradient(x, gradY);

        var yView = test.Output(yShape);
        test.Run(new Conv2dForward(xView, weightView, default, yView, window, groups));
        KernelTest.Close(y, test.Read(yView), Tolerance.Sum, $"y, {what}");
        test.Run(new Conv2dForward(xView, weightView, test.Upload(bias, k), yView, window, groups, Activation.LeakyRelu(0.1f)));
        var activated = new double[y.Length];
        for (int i = 0; i < y.Length; i++)
            activated[i] = y[i] + bias[i % k] is var sum && sum > 0 ? sum : 0.1 * sum;
        KernelTest.Close(activated, test.Read(yView), Tolerance.Sum, $"activated y, {what}");

        float[] scale = KernelTest.Random(7, k, 2), residual = KernelTest.Random(8, y.Length, 3);
        for (int i = 0; i < y.Length; i++)
            activated[i] = Math.Max(0, (double)scale[i % k] * y[i] + bias[i % k] + residual[i]);
        TensorView scaleView = test.Upload(scale, k), biasView = test.Upload(bias, k), residualView = test.Upload(residual, yShape.ToArray());
        var normed = new Conv2dForward(xView, weightView, biasView, yView, window, groups, Activation.Relu, scaleView, residualView);
        test.Run(normed);
        KernelTest.Close(activated, test.Read(yView), Tolerance.Sum, $"normed y, {what}");
        test.Run(normed with { Y = residualView });
        KernelTest.Close(activated, test.Read(residualView), Tolerance.Sum, $"normed y in the residual's place, {what}");

        foreach (bool accumulate in (bool[])[false, true])
        {
            float[] startX = KernelTest.Random(5, x.Length), startWeight = KernelTest.Random(6, weight.Length);
            TensorView gradXView = accumulate ? test.Upload(startX, xShape.ToArray()) : test.Output(xShape);
            TensorView gradWeightView = accumulate ? test.Upload(startWeight, weightShape.ToArray()) : test.Output(weightShape);
            test.Run(new Conv2dInputGradient(gradYView, weightView, gradXView, window, groups, accumulate));
            test.Run(new Conv2dWeightGradient(xView, gradYView, gradWeightView, window, groups, accumulate));
            KernelTest.Close(accumulate ? Sum(gradX, startX) : gradX, test.Read(gradXView), Tolerance.SumGradient, $"grad x, accumulate {accumulate}, {what}");
            KernelTest.Close(accumulate ? Sum(gradWeight, startWeight) : gradWeight, test.Read(gradWeightView), Tolerance.SumGradient, $"grad weight, accumulate {accumulate}, {what}");
        }
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void AConvolutionMeasuresItsResult(int lanes)
    {
        using var test = new KernelTest(lanes);
        var conv = new Conv2dForward(test.Upload(KernelTest.Random(1, 5 * 7 * 6), 1, 5, 7, 6), test.Upload(KernelTest.Random(2, 10 * 9 * 6), 10, 3, 3, 6), default, test.Output(1, 5, 7, 10), Window.Square(3, 1, 1));
        TensorView mean = test.Output(10), variance = test.Output(10), expectedMean = test.Output(10), expectedVariance = test.Output(10);
        test.Run(new Conv2dMoments(conv, mean, variance));
        test.Run(new BatchNormStatistics(conv.Y, expectedMean, expectedVariance));
        Assert.Equal(test.Read(expectedMean), test.Read(mean));
        Assert.Equal(test.Read(expectedVariance), test.Read(variance));
        Assert.Contains("without bias", Assert.Throws<KernelException>(() => test.Run(new Conv2dMoments(conv with { Activation = Activation.Relu }, mean, variance))).Message);
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        float[] results = [];
        foreach (var (n, h, w, c, k, groups, window) in Awkward.Take(KernelTest.Smaller(lanes, Awkward.Length, 5)))
        {
            int p = window.OutHeight(h), q = window.OutWidth(w);
            TensorView x = test.Upload(KernelTest.Random(1, n * h * w * c), n, h, w, c), gradY = test.Upload(KernelTest.Random(2, n * p * q * k), n, p, q, k);
            var weight = test.Upload(KernelTest.Random(3, (long)k * window.Area * c / groups), k, window.KernelHeight, window.KernelWidth, c / groups);
            TensorView y = test.Output(gradY.Shape), gradX = test.Output(x.Shape), gradWeight = test.Output(weight.Shape);
            test.Run(new Conv2dForward(x, weight, default, y, window, groups));
            test.Run(new Conv2dInputGradient(gradY, weight, gradX, window, groups));
            test.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window, groups));
            results = [.. results, .. test.Read(y), .. test.Read(gradX), .. test.Read(gradWeight)];
        }
        return results;
    });

    [Fact]
    public void WarmKernelsAllocateNothing()
    {
        using var test = new KernelTest(8);
        foreach (var (n, h, w, c, k, groups, window) in Awkward)
        {
            int p = window.OutHeight(h), q = window.OutWidth(w);
            TensorView x = test.Zeros(n, h, w, c), y = test.Zeros(n, p, q, k), weight = test.Zeros(k, window.KernelHeight, window.KernelWidth, c / groups);
            var forward = new Conv2dForward(x, weight, default, y, window, groups);
            var inputGradient = new Conv2dInputGradient(y, weight, x, window, groups);
            var weightGradient = new Conv2dWeightGradient(x, y, weight, window, groups);
            // The least of several runs: the runtime itself allocates now and then, when it blocks a thread or compiles a method again.
            long least = long.MaxValue;
            for (int i = 0; i < 6; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                test.Device.Run(forward);
                test.Device.Run(inputGradient);
                test.Device.Run(weightGradient);
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }
            Assert.Equal(0, least);
        }
    }

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Zeros(1, 8, 8, 4), weight = test.Zeros(6, 3, 3, 4), y = test.Zeros(1, 8, 8, 6);
        var window = Window.Square(3, 1, 1);
        Fails(new Conv2dForward(x, test.Zeros(6, 3, 3, 8), default, y, window), "Conv2dForward: weight expects f32[6,3,3,4] but is f32[6,3,3,8]");
        Fails(new Conv2dForward(x, weight, test.Zeros(4), y, window), "Conv2dForward: bias expects f32[6] but is f32[4]");
        Fails(new Conv2dForward(x, weight, default, y, window, Scale: test.Zeros(4)), "Conv2dForward: scale expects f32[6] but is f32[4]");
        Fails(new Conv2dForward(x, weight, default, y, window, Residual: x), "Conv2dForward: residual expects f32[1,8,8,6] but is f32[1,8,8,4]");
        Fails(new Conv2dForward(x, weight, default, test.Zeros(1, 6, 6, 6), window), "Conv2dForward: y expects f32[1,8,8,6] but is f32[1,6,6,6]");
        Fails(new Conv2dForward(x, weight, default, y, window, 4), "Conv2dForward: groups expects a divisor of 4 input and 6 output channels but is 4");
        Fails(new Conv2dForward(x, weight, default, y, window with { StrideX = 0 }),
            "Conv2dForward: window expects kernel, stride and dilation >= 1 and padding >= 0 but is kernel 3x3 stride 1x0 padding 1x1 dilation 1x1");
        Fails(new Conv2dForward(test.Zeros(1, 2, 2, 4), weight, default, y, Window.Square(3)),
            "Conv2dForward: window expects to fit into x f32[1,2,2,4]; use a larger image, more padding or a smaller kernel but is kernel 3x3 stride 1x1 padding 0x0 dilation 1x1");
        Fails(new Conv2dForward(default, weight, default, y, window), "Conv2dForward: x expects f32 of rank 4 but is none");
        Fails(new Conv2dInputGradient(y, weight, test.Zeros(1, 8, 8, 5), window), "Conv2dInputGradient: weight expects f32[6,3,3,5] but is f32[6,3,3,4]");
        Fails(new Conv2dWeightGradient(x, y, test.Zeros(6, 3, 3, 5), window), "Conv2dWeightGradient: gradWeight expects f32[6,3,3,4] but is f32[6,3,3,5]");
        var square = test.Zeros(1, 8, 8, 4);
        Fails(new Conv2dForward(square, test.Zeros(4, 3, 3, 4), default, square, window),
            "Conv2dForward: x f32[1,8,8,4] and y f32[1,8,8,4] share memory; give them buffers of their own");

        void Fails<TKernel>(TKernel kernel, string message) where TKernel : struct, IKernel =>
            Assert.Equal(message, Assert.Throws<KernelException>(() => test.Device.Run(kernel)).Message);
    }

    private static void CompareBiasGradient(KernelTest test, GoldenFile file, TensorView gradY, TensorView bias)
    {
        if (bias.IsNone)
            return;
        var gradBias = test.Output(bias.Shape);
        test.Run(new ChannelSum(gradY, gradBias));
        test.Compare(file, "grad.bias", gradBias, Tolerance.SumGradient);
    }

    internal static Window GoldenWindow(GoldenFile file, TensorView weight)
    {
        int[] stride = Pair("stride", 1), padding = Pair("padding", 0), dilation = Pair("dilation", 1);
        return new(weight.Shape[1], weight.Shape[2], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]);

        int[] Pair(string name, int otherwise) => file.Attribute(name) is { } value
            ? [.. value.EnumerateArray().Select(v => v.GetInt32())]
            : [otherwise, otherwise];
    }

    private static double[] Sum(double[] values, float[] start)
    {
        var result = new double[values.Length];
        for (int i = 0; i < result.Length; i++)
            result[i] = values[i] + start[i];
        return result;
    }
}
