using CudaKernels.Kernels;
using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Gradients of kernels on few channels, taken along the rows of outputs, against the definition in double precision.</summary>
public sealed class RowWeightGradientTests
{
    /// <summary>(batch, height, width, in, out, window): a stem, rows longer than a piece of depth, one channel, a window that differs in its directions, more rows than splits.</summary>
    private static readonly (int N, int H, int W, int C, int K, Window Window)[] Sizes =
    [
        (2, 9, 131, 3, 16, Window.Square(7, 2, 3)),
        (1, 5, 300, 3, 20, Window.Square(3, 1, 1)),
        (1, 4, 520, 1, 33, Window.Square(5, 1, 2)),
        (2, 11, 80, 2, 7, new Window(3, 5, 2, 1, 0, 2, 2)),
        (3, 90, 66, 1, 5, new Window(2, 2, 1, 1, 0, 0)),
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
        var (n, h, w, c, k, window) = Sizes[index];
        int outHeight = window.OutHeight(h), outWidth = window.OutWidth(w);
        float[] x = KernelTest.Random(index, (long)n * h * w * c), gradY = KernelTest.Random(index + 100, (long)n * outHeight * outWidth * k);
        double[] expected = new ConvReference(n, h, w, c, k, 1, window).WeightGradient(x, gradY);
        using var test = new KernelTest(lanes, 3);
        TensorView viewX = test.Upload(x, n, h, w, c), viewGradY = test.Upload(gradY, n, outHeight, outWidth, k);
        var shape = new Shape(k, window.KernelHeight, window.KernelWidth, c);
        TensorView plain = test.Output(shape), added = test.Ones(shape[0], shape[1], shape[2], shape[3]);
        Assert.True(RowWeightGradient.Fits<F32x4>(Conv2dShapes.Of(viewX, plain, viewGradY, window, 1)));

        test.Run(new Conv2dWeightGradient(viewX, viewGradY, plain, window));
        KernelTest.Close(expected, test.Read(plain), Tolerance.SumGradient, "gradWeight");
        test.Run(new Conv2dWeightGradient(viewX, viewGradY, added, window, Accumulate: true));
        KernelTest.Close(Array.ConvertAll(expected, v => v + 1), test.Read(added), Tolerance.SumGradient, "gradWeight, added");
    }

    [Theory, InlineData(4), InlineData(8), InlineData(16)]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var window = Window.Square(7, 2, 3);
        TensorView x = test.Upload(KernelTest.Random(1, 2 * 70 * 140 * 3), 2, 70, 140, 3), gradY = test.Upload(KernelTest.Random(2, 2 * 35 * 70 * 24), 2, 35, 70, 24);
        TensorView gradWeight = test.Output(24, 7, 7, 3);
        test.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window));
        return test.Read(gradWeight);
    });

    [Fact]
    public void NoPicturesGiveZero()
    {
        using var test = new KernelTest(8);
        TensorView gradWeight = test.Ones(4, 3, 3, 3);
        test.Run(new Conv2dWeightGradient(test.Output(0, 8, 80, 3), test.Output(0, 8, 80, 4), gradWeight, Window.Square(3, 1, 1)));
        Assert.All(test.Read(gradWeight), v => Assert.Equal(0, v));
    }
}
