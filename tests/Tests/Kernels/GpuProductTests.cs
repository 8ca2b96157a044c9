using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The candidates of <see cref="GpuProduct"/> that other tests miss, as their views lie at odd offsets: those with 128-bit loads.</summary>
public class GpuProductTests
{
    public static TheoryData<int, int> Cases
    {
        get
        {
            var data = new TheoryData<int, int>();
            foreach (int lanes in (int[])[KernelTest.Gpu, KernelTest.PtxMachine])
                for (int i = 0; i < KernelTest.Smaller(lanes, Aligned.Length, Aligned.Length - 1); i++) // the last one is large
                    data.Add(lanes, i);
            return data;
        }
    }

    /// <summary>Channels of a group are multiples of four: edges of tiles, taps and channels in one step of depth, groups, several splits of the depth.</summary>
    private static readonly (int N, int H, int W, int C, int K, int Groups, Window Window)[] Aligned =
    [
        (1, 9, 9, 4, 4, 1, Window.Square(1)),
        (1, 9, 11, 16, 20, 1, Window.Square(3, 2, 1)),
        (2, 17, 9, 12, 68, 1, Window.Square(3, 1, 1)),
        (1, 12, 9, 32, 16, 2, Window.Square(3, 1, 2, 2)),
        (1, 9, 14, 8, 4, 1, new Window(5, 3, 2, 1, 1, 2, 1, 2)),
        (2, 30, 20, 24, 72, 1, Window.Square(3, 1, 1)),
        (1, 6, 5, 256, 132, 1, Window.Square(3, 1, 1)),
        (2, 140, 140, 64, 128, 1, Window.Square(1)),
    ];

    [Theory, MemberData(nameof(Cases))]
    public void AlignedConvolutionEqualsReference(int lanes, int index)
    {
        var (n, h, w, c, k, groups, window) = Aligned[index];
        using var test = new KernelTest(lanes);
        int p = window.OutHeight(h), q = window.OutWidth(w);
        Shape xShape = new(n, h, w, c), weightShape = new(k, window.KernelHeight, window.KernelWidth, c / groups), yShape = new(n, p, q, k);
        float[] x = KernelTest.Random(1, xShape.Length), weight = KernelTest.Random(2, weightShape.Length), bias = KernelTest.Random(3, k), gradY = KernelTest.Random(4, yShape.Length);
        TensorView xView = Upload(test, x, xShape), weightView = Upload(test, weight, weightShape), gradYView = Upload(test, gradY, yShape);
        var reference = new ConvReference(n, h, w, c, k, groups, window);
        double[] y = reference.Forward(x, weight);
        for (int i = 0; i < y.Length; i++)
            y[i] = y[i] + bias[i % k] is var sum && sum > 0 ? sum : 0.1 * sum;

        TensorView yView = test.Output(yShape), gradXView = test.Output(xShape), gradWeightView = test.Output(weightShape);
        test.Run(new Conv2dForward(xView, weightView, test.Upload(bias, k), yView, window, groups, Activation.LeakyRelu(0.1f)));
        KernelTest.Close(y, test.Read(yView), Tolerance.Sum, $"y, case {index}");
        test.Run(new Conv2dInputGradient(gradYView, weightView, gradXView, window, groups));
        KernelTest.Close(reference.InputGradient(gradY, weight), test.Read(gradXView), Tolerance.SumGradient, $"grad x, case {index}");
        test.Run(new Conv2dWeightGradient(xView, gradYView, gradWeightView, window, groups));
        KernelTest.Close(reference.WeightGradient(x, gradY), test.Read(gradWeightView), Tolerance.SumGradient, $"grad weight, case {index}");
        foreach (var view in (TensorView[])[xView, weightView, gradYView])
            test.Device.Return(view);
    }

    [Theory, MemberData(nameof(KernelTest.GpuLanes), MemberType = typeof(KernelTest))]
    public void AlignedGemmEqualsReference(int lanes)
    {
        using var test = new KernelTest(lanes);
        foreach (bool transposeA in (bool[])[false, true])
            foreach (bool transposeB in (bool[])[false, true])
                AlignedGemm(test, transposeA, transposeB);
    }

    private static void AlignedGemm(KernelTest test, bool transposeA, bool transposeB)
    {
        foreach ((int m, int n, int k) in ((int, int, int)[])[(4, 4, 4), (68, 132, 20), (8, 72, 1500)])
        {
            float[] a = KernelTest.Random(1, m * k), b = KernelTest.Random(2, k * n);
            var expected = new double[m * n];
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++)
                    for (int l = 0; l < k; l++)
                        expected[i * n + j] += (double)a[transposeA ? l * m + i : i * k + l] * b[transposeB ? j * k + l : l * n + j];
            TensorView aView = Upload(test, a, new(m, k)), bView = Upload(test, b, new(k, n)), c = test.Output(m, n);
            test.Run(new Gemm(aView, bView, c, m, n, k, transposeA, transposeB));
            KernelTest.Close(expected, test.Read(c), Tolerance.Sum, $"{m}x{n}x{k}");
            test.Device.Return(aView);
            test.Device.Return(bView);
        }
    }

    /// <summary>At offset zero; the caller returns it.</summary>
    private static TensorView Upload(KernelTest test, float[] values, Shape shape)
    {
        var view = test.Device.Rent(shape, DType.F32, nameof(GpuProductTests));
        test.Device.Upload<float>(values, view);
        return view;
    }
}
