using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// Products on tensor cores, in both types and both sizes of tiles. Against float64 the golden tolerances of TF32 and bf16 hold; against float64 on operands that were rounded
/// as the tensor core's are, those of float32 sums, which no wrong element would pass.
/// </summary>
public sealed class TensorProductTests
{
    /// <summary>One pixel; edges of tiles, taps, channels and images; odd images; strides; dilation; groups; several splits of the depth, forward and of the pixels; pixels that no tap reaches.</summary>
    private static readonly (int N, int H, int W, int C, int K, int Groups, Window Window)[] Sizes =
    [
        (1, 1, 1, 4, 4, 1, Window.Square(1)),
        (3, 11, 1, 8, 8, 1, Window.Square(1)),
        (1, 9, 11, 16, 20, 1, Window.Square(3, 2, 1)),
        (2, 7, 9, 12, 68, 1, Window.Square(3, 1, 1)),
        (1, 12, 9, 64, 32, 2, Window.Square(3, 1, 2, 2)),
        (1, 9, 14, 8, 24, 1, new Window(5, 3, 2, 1, 1, 2, 1, 2)),
        (1, 6, 5, 136, 72, 1, Window.Square(3, 1, 1)),
        (2, 23, 17, 8, 136, 1, Window.Square(2, 2, 1)),
        (1, 5, 4, 4, 33, 1, Window.Square(3, 1, 1)),
        (1, 6, 5, 16, 8, 1, Window.Square(1, 3)),
    ];

    public static TheoryData<int, int, string> Cases
    {
        get
        {
            var data = new TheoryData<int, int, string>();
            foreach (int lanes in (int[])[KernelTest.Gpu, KernelTest.PtxMachine])
                foreach (var precision in (Precision[])[Precision.Tf32, Precision.Bf16])
                    for (int i = 0; i < Sizes.Length; i++)
                        data.Add(lanes, i, precision.ToString());
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void ConvolutionEqualsReference(int lanes, int index, string type)
    {
        var precision = Enum.Parse<Precision>(type);
        var (n, h, w, c, k, groups, window) = Sizes[index];
        int p = window.OutHeight(h), q = window.OutWidth(w);
        Shape xShape = new(n, h, w, c), weightShape = new(k, window.KernelHeight, window.KernelWidth, c / groups), yShape = new(n, p, q, k);
        float[] x = KernelTest.Random(1, xShape.Length), weight = KernelTest.Random(2, weightShape.Length), gradY = KernelTest.Random(4, yShape.Length);
        float[] bias = KernelTest.Random(3, k), scale = KernelTest.Random(7, k, 2), residual = KernelTest.Random(8, yShape.Length, 3), startX = KernelTest.Random(5, x.Length), startWeight = KernelTest.Random(6, weight.Length);
        var reference = new ConvReference(n, h, w, c, k, groups, window);
        using var test = new TensorTest(lanes, precision);
        foreach (var tiles in TensorTest.BothTiles)
        {
            test.Tiles = tiles;
            TensorView xView = test.Upload(x, xShape), weightView = test.Upload(weight, weightShape), gradYView = test.Upload(gradY, yShape), residualView = test.Upload(residual, yShape);
            var yView = test.Zeros(yShape);
            test.Run(new Conv2dForward(xView, weightView, test.Upload(bias, new(k)), yView, window, groups, Activation.LeakyRelu(0.1f), test.Upload(scale, new(k)), residualView), c / groups, c / groups);
            test.Close((a, b) => Finished(reference.Forward(a, b), scale, bias, residual), x, weight, yView, false, $"y, case {index}");
            TensorView gradXView = test.Upload(startX, xShape), gradWeightView = test.Upload(startWeight, weightShape);
            test.Run(new Conv2dInputGradient(gradYView, weightView, gradXView, window, groups, Accumulate: true), k / groups, c / groups);
            test.Close((a, b) => Sum(reference.InputGradient(a, b), startX), gradY, weight, gradXView, true, $"grad x, case {index}");
            test.Run(new Conv2dWeightGradient(xView, gradYView, gradWeightView, window, groups, Accumulate: true), k / groups, c / groups);
            test.Close((a, b) => Sum(reference.WeightGradient(a, b), startWeight), x, gradY, gradWeightView, true, $"grad weight, case {index}");
        }
    }

    /// <summary>Each golden in what its channels allow.</summary>
    [Theory]
    [InlineData(KernelTest.Gpu, "Tf32")]
    [InlineData(KernelTest.Gpu, "Bf16")]
    [InlineData(KernelTest.PtxMachine, "Tf32")]
    [InlineData(KernelTest.PtxMachine, "Bf16")]
    public void ConvolutionEqualsGolden(int lanes, string type)
    {
        int onTensorCores = 0;
        foreach (var path in GoldenFolder.Cases("conv2d"))
        {
            var file = GoldenFile.Load(path);
            int groups = file.Attribute("groups")?.GetInt32() ?? 1, channels = file.Shape("x")[1] / groups, outputs = file.Shape("weight")[0] / groups;
            if (groups > 1 || channels % 4 != 0 || file.Shape("x")[0] == 0)
                continue;
            onTensorCores++;
            using var test = new TensorTest(lanes, Enum.Parse<Precision>(type));
            TensorView x = test.Upload(file, "x"), weight = test.Upload(file, "weight"), gradY = test.Upload(file, "grad_out");
            var bias = file.Has("bias") ? test.Upload(file.F32("bias"), new(outputs)) : default;
            var window = ConvTests.GoldenWindow(file, weight);
            TensorView y = test.Zeros(gradY.Shape), gradX = test.Zeros(x.Shape), gradWeight = test.Zeros(weight.Shape);
            test.Tiles = TensorTest.BothTiles[0];
            test.Run(new Conv2dForward(x, weight, bias, y, window), channels, channels);
            test.Compare(file, "out", y, gradient: false);
            test.Run(new Conv2dInputGradient(gradY, weight, gradX, window), outputs, channels);
            test.Compare(file, "grad.x", gradX, gradient: true);
            test.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window), outputs, channels);
            test.Compare(file, "grad.weight", gradWeight, gradient: true);
        }
        Assert.True(onTensorCores >= 5, $"only {onTensorCores} golden convolutions have channels for tensor cores");
    }

    [Theory]
    [InlineData(KernelTest.Gpu, "Tf32")]
    [InlineData(KernelTest.Gpu, "Bf16")]
    [InlineData(KernelTest.PtxMachine, "Tf32")]
    [InlineData(KernelTest.PtxMachine, "Bf16")]
    public void GemmEqualsReference(int lanes, string type)
    {
        using var test = new TensorTest(lanes, Enum.Parse<Precision>(type));
        foreach (var tiles in TensorTest.BothTiles)
            foreach (var (m, n, k) in ((int, int, int)[])[(8, 8, 8), (72, 136, 40), (8, 72, 520)])
                foreach (int transposed in (int[])[0, 1, 2, 3])
                {
                    test.Tiles = tiles;
                    bool transposeA = (transposed & 1) != 0, transposeB = (transposed & 2) != 0;
                    float[] a = KernelTest.Random(1, m * k), b = KernelTest.Random(2, k * n);
                    var c = test.Zeros(new(m, n));
                    test.Run(new Gemm(test.Upload(a, new(m * k)), test.Upload(b, new(k * n)), c, m, n, k, transposeA, transposeB), transposeA ? m : k, transposeB ? k : n);
                    test.Close((a, b) => Product(a, b, m, n, k, transposeA, transposeB), a, b, c, false, $"{m}x{n}x{k}, {transposed}");
                }
    }

    /// <summary>33 rows and 5 outputs: neither a multiple of four, which only the target notices.</summary>
    [Theory]
    [InlineData(KernelTest.Gpu, "Tf32")]
    [InlineData(KernelTest.Gpu, "Bf16")]
    [InlineData(KernelTest.PtxMachine, "Tf32")]
    [InlineData(KernelTest.PtxMachine, "Bf16")]
    public void LinearEqualsReference(int lanes, string type)
    {
        using var test = new TensorTest(lanes, Enum.Parse<Precision>(type));
        float[] x = KernelTest.Random(1, 33 * 40), weight = KernelTest.Random(2, 5 * 40), bias = KernelTest.Random(3, 5);
        var y = test.Zeros(new(33, 5));
        test.Run(new LinearForward(test.Upload(x, new(33, 40)), test.Upload(weight, new(5, 40)), test.Upload(bias, new(5)), y, Activation.Relu), 40, 40);
        test.Close((a, b) =>
        {
            double[] product = Product(a, b, 33, 5, 40, false, true);
            for (int i = 0; i < product.Length; i++)
                product[i] = Math.Max(0, product[i] + bias[i % 5]);
            return product;
        }, x, weight, y, false, "y");
    }

    /// <summary>Twice, and in the other order of the PTX machine's threads; the weight gradient in two splits.</summary>
    [Theory]
    [InlineData(KernelTest.Gpu, "Tf32")]
    [InlineData(KernelTest.Gpu, "Bf16")]
    [InlineData(KernelTest.PtxMachine, "Tf32")]
    [InlineData(KernelTest.PtxMachine, "Bf16")]
    public void ResultsAreEqualBitForBit(int lanes, string type)
    {
        byte[]? first = null;
        foreach (int threads in (int[])[1, 1, 5])
        {
            using var test = new TensorTest(lanes, Enum.Parse<Precision>(type), threads);
            var window = Window.Square(3, 1, 1);
            TensorView x = test.Upload(KernelTest.Random(1, 19 * 27 * 24), new(1, 19, 27, 24)), weight = test.Upload(KernelTest.Random(2, 8 * 9 * 24), new(8, 3, 3, 24));
            TensorView y = test.Upload(KernelTest.Random(3, 19 * 27 * 8), new(1, 19, 27, 8)), gradX = test.Zeros(x.Shape), gradWeight = test.Zeros(weight.Shape);
            var bytes = new List<byte>();
            foreach (var tiles in TensorTest.BothTiles)
            {
                test.Tiles = tiles;
                test.Run(new Conv2dInputGradient(y, weight, gradX, window), 8, 24);
                test.Run(new Conv2dWeightGradient(x, y, gradWeight, window), 8, 24);
                test.Run(new Conv2dForward(x, weight, default, y, window), 24, 24);
                foreach (var view in (TensorView[])[gradX, gradWeight, y])
                    bytes.AddRange(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(test.Read(view)));
            }
            first ??= [.. bytes];
            Assert.Equal(first, bytes);
        }
    }

    /// <summary>What a batch norm needs of the result, from tiles that end inside and outside of the rows; the last size is deep, so its splits are measured afterwards. A large mean costs no digits.</summary>
    [Theory]
    [InlineData(KernelTest.Gpu, "Tf32")]
    [InlineData(KernelTest.Gpu, "Bf16")]
    [InlineData(KernelTest.PtxMachine, "Tf32")]
    [InlineData(KernelTest.PtxMachine, "Bf16")]
    public void MomentsAreThoseOfTheResult(int lanes, string type)
    {
        foreach (var tiles in TensorTest.BothTiles)
            foreach (var (h, w, c, k) in ((int, int, int, int)[])[(1, 1, 8, 8), (17, 18, 8, 20), (3, 7, 8, 72), (4, 4, 64, 8)])
            {
                using var test = new TensorTest(lanes, Enum.Parse<Precision>(type)) { Tiles = tiles };
                float[] x = Array.ConvertAll(KernelTest.Random(1, h * w * c), value => value + 50);
                TensorView y = test.Zeros(new(1, h, w, k)), mean = test.Zeros(new(k)), variance = test.Zeros(new(k));
                var conv = new Conv2dForward(test.Upload(x, new(1, h, w, c)), test.Upload(KernelTest.Random(2, k * 9 * c), new(k, 3, 3, c)), default, y, Window.Square(3, 1, 1));
                test.Run(new Conv2dMoments(conv, mean, variance), c, c);
                float[] values = test.Read(y);
                var (means, variances) = (new double[k], new double[k]);
                for (int i = 0; i < values.Length; i++)
                    means[i % k] += values[i] / (double)(h * w);
                for (int i = 0; i < values.Length; i++)
                    variances[i % k] += (values[i] - means[i % k]) * (values[i] - means[i % k]) / (h * w);
                KernelTest.Close(means, test.Read(mean), Tolerance.Pointwise, $"mean, {h}x{w}");
                KernelTest.Close(variances, test.Read(variance), Tolerance.Sum, $"variance, {h}x{w}");
            }
    }

    [Theory]
    [InlineData("Tf32")]
    [InlineData("Bf16")]
    public void NoPicturesGiveNoWeightGradient(string type)
    {
        using var test = new TensorTest(KernelTest.PtxMachine, Enum.Parse<Precision>(type));
        var gradWeight = test.Upload(KernelTest.Random(1, 8 * 9 * 16), new(8, 3, 3, 16));
        test.Run(new Conv2dWeightGradient(test.Zeros(new(0, 5, 5, 16)), test.Zeros(new(0, 5, 5, 8)), gradWeight, Window.Square(3, 1, 1)), 8, 16);
        Assert.All(test.Read(gradWeight), value => Assert.Equal(0, value));
    }

    /// <summary>What tensor cores cannot read is computed in float32, and a device without them says so.</summary>
    [Fact]
    public void WhatDoesNotFitStaysInFloat32()
    {
        using var test = new TensorTest(KernelTest.PtxMachine, Precision.Bf16);
        float[] x = KernelTest.Random(1, 5 * 5 * 3), weight = KernelTest.Random(2, 8 * 9 * 3);
        var y = test.Zeros(new(1, 5, 5, 8));
        test.Run(new Conv2dForward(test.Upload(x, new(1, 5, 5, 3)), test.Upload(weight, new(8, 3, 3, 3)), default, y, Window.Square(3, 1, 1)), 3, 3);
        KernelTest.Close(new ConvReference(1, 5, 5, 3, 8, 1, Window.Square(3, 1, 1)).Forward(x, weight), test.Read(y), Tolerance.Sum, "three channels");
        using var cpu = new CpuDevice(1);
        cpu.Use(Precision.Fp32);
        Assert.Contains("precision tf32 expects a CUDA device", Assert.Throws<KernelException>(() => cpu.Use(Precision.Tf32)).Message);
    }

    private static double[] Finished(double[] y, float[] scale, float[] bias, float[] residual)
    {
        for (int i = 0; i < y.Length; i++)
            y[i] = y[i] * scale[i % scale.Length] + bias[i % bias.Length] + residual[i] is var sum && sum > 0 ? sum : 0.1 * sum;
        return y;
    }

    private static double[] Sum(double[] a, float[] b)
    {
        for (int i = 0; i < a.Length; i++)
            a[i] += b[i];
        return a;
    }

    private static double[] Product(float[] a, float[] b, int m, int n, int k, bool transposeA, bool transposeB)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                for (int l = 0; l < k; l++)
                    c[i * n + j] += (double)a[transposeA ? l * m + i : i * k + l] * b[transposeB ? j * k + l : l * n + j];
        return c;
    }
}
