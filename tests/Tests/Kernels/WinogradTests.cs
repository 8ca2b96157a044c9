using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>3x3 convolutions that are computed by minimal filtering, against the definition in double precision.</summary>
public sealed class WinogradTests
{
    /// <summary>(batch, height, width, in, out, padding): outputs that fill no tile, each padding, channels beyond vectors, panels and blocks of depth, several chunks.</summary>
    private static readonly (int N, int H, int W, int C, int K, int Pad)[] Sizes =
    [
        (1, 12, 12, 16, 16, 1),
        (2, 15, 14, 20, 33, 1),
        (3, 14, 10, 35, 17, 0),
        (1, 11, 19, 16, 50, 2),
        (1, 8, 8, 300, 16, 1),
        (2, 7, 7, 24, 64, 1),
        (1, 190, 230, 16, 17, 1),
    ];

    public static TheoryData<int, int> Cases
    {
        get
        {
            var data = new TheoryData<int, int>();
            foreach (int lanes in (int[])[1, 4, 8, 16])
                for (int i = 0; i < Sizes.Length; i++)
                    data.Add(lanes, i);
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void EqualsTheDefinition(int lanes, int index)
    {
        var (n, h, w, c, k, pad) = Sizes[index];
        var window = Window.Square(3, 1, pad);
        var reference = new ConvReference(n, h, w, c, k, 1, window);
        int outHeight = window.OutHeight(h), outWidth = window.OutWidth(w);
        float[] x = KernelTest.Random(index, (long)n * h * w * c), weight = KernelTest.Random(index + 100, (long)k * 9 * c);
        float[] bias = KernelTest.Random(index + 200, k), gradY = KernelTest.Random(index + 300, (long)n * outHeight * outWidth * k);
        using var test = new KernelTest(lanes, 3);
        TensorView viewX = test.Upload(x, n, h, w, c), viewWeight = test.Upload(weight, k, 3, 3, c), viewGradY = test.Upload(gradY, n, outHeight, outWidth, k);
        TensorView y = test.Output(n, outHeight, outWidth, k), gradX = test.Ones(n, h, w, c), gradWeight = test.Ones(k, 3, 3, c), plain = test.Output(k, 3, 3, c);
        Assert.True(Winograd.Pays(Conv2dShapes.Of(viewX, viewWeight, y, window, 1)));

        test.Run(new Conv2dForward(viewX, viewWeight, test.Upload(bias, k), y, window, 1, Activation.LeakyRelu(0.1f)));
        double[] expected = reference.Forward(x, weight);
        for (int i = 0; i < expected.Length; i++)
        {
            expected[i] += bias[i % k];
            expected[i] *= expected[i] > 0 ? 1 : 0.1f;
        }
        KernelTest.Close(expected, test.Read(y), Tolerance.Sum, "y");
        test.Run(new Conv2dInputGradient(viewGradY, viewWeight, gradX, window, Accumulate: true));
        KernelTest.Close(Array.ConvertAll(reference.InputGradient(gradY, weight), v => v + 1), test.Read(gradX), Tolerance.SumGradient, "gradX");
        double[] expectedWeight = reference.WeightGradient(x, gradY);
        test.Run(new Conv2dWeightGradient(viewX, viewGradY, plain, window));
        KernelTest.Close(expectedWeight, test.Read(plain), Tolerance.SumGradient, "gradWeight");
        test.Run(new Conv2dWeightGradient(viewX, viewGradY, gradWeight, window, Accumulate: true));
        KernelTest.Close(Array.ConvertAll(expectedWeight, v => v + 1), test.Read(gradWeight), Tolerance.SumGradient, "gradWeight, added");
    }

    /// <summary>Few tiles, so that a thread has output channels of its own, and many, so that threads share all of them.</summary>
    [Theory, InlineData(8, 30, 21), InlineData(16, 30, 21), InlineData(8, 90, 66), InlineData(16, 90, 66)]
    public void ResultsDoNotDependOnThreads(int lanes, int height, int width) => KernelTest.Deterministic(lanes, test =>
    {
        var window = Window.Square(3, 1, 1);
        TensorView x = test.Upload(KernelTest.Random(1, 2L * height * width * 40), 2, height, width, 40), weight = test.Upload(KernelTest.Random(2, 70 * 9 * 40), 70, 3, 3, 40);
        TensorView y = test.Output(2, height, width, 70), gradX = test.Output(x.Shape), gradWeight = test.Output(weight.Shape);
        test.Run(new Conv2dForward(x, weight, default, y, window));
        test.Run(new Conv2dInputGradient(y, weight, gradX, window));
        test.Run(new Conv2dWeightGradient(x, y, gradWeight, window));
        return [.. test.Read(y), .. test.Read(gradX), .. test.Read(gradWeight)];
    });

    /// <summary>A value that is not finite may reach more outputs than by the definition, those of its tile, but never fewer.</summary>
    [Fact]
    public void WhatIsNotFiniteIsSeen()
    {
        using var test = new KernelTest(8);
        float[] values = new float[12 * 12 * 16];
        values[(5 * 12 + 6) * 16 + 3] = float.PositiveInfinity;
        TensorView y = test.Output(1, 12, 12, 16);
        test.Run(new Conv2dForward(test.Upload(values, 1, 12, 12, 16), test.Ones(16, 3, 3, 16), default, y, Window.Square(3, 1, 1)));
        float[] got = test.Read(y);
        for (int i = 4; i <= 6; i++)
            for (int j = 5; j <= 7; j++)
                Assert.False(float.IsFinite(got[(i * 12 + j) * 16]));
        Assert.Equal(0, got[0]);
    }
}
