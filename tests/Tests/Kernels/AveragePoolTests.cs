using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class AveragePoolTests
{
    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("avg_pool2d").Concat(GoldenFolder.Cases("adaptive_avg_pool2d")))
        {
            var file = GoldenFile.Load(path);
            using var test = new KernelTest(lanes);
            TensorView x = test.Upload(file, "x"), gradY = test.Upload(file, "grad_out"), y = test.Output(gradY.Shape), gradX = test.Output(x.Shape);
            AverageAxis rows = Axis(file, 0, x, y), columns = Axis(file, 1, x, y);
            test.Run(new AveragePoolForward(x, y, rows, columns));
            test.Run(new AveragePoolBackward(gradY, gradX, rows, columns, Accumulate: false));
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
        }
    }

    private static AverageAxis Axis(GoldenFile file, int axis, TensorView x, TensorView y)
    {
        int input = x.Shape[1 + axis];
        if (file.Attribute("output_size") is { } size)
            return AverageAxis.Adaptive(input, size[axis].GetInt32());
        int kernel = Number("kernel"), stride = Number("stride"), pad = Number("padding");
        Assert.Equal(y.Shape[1 + axis], AverageAxis.OutputOf(input, kernel, stride, pad, file.Attribute("ceil_mode")!.Value.GetBoolean()));
        return AverageAxis.Windowed(input, y.Shape[1 + axis], kernel, stride, pad, file.Attribute("count_include_pad")!.Value.GetBoolean());

        int Number(string name) => file.Attribute(name)!.Value[axis].GetInt32();
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesAPlainLoopAtAwkwardSizes(int lanes)
    {
        (AverageAxis, AverageAxis)[] cases =
        [
            (AverageAxis.Adaptive(11, 1), AverageAxis.Adaptive(9, 1)),
            (AverageAxis.Adaptive(11, 4), AverageAxis.Adaptive(5, 7)),
            (Windowed(13, 3, 2, 1, true, true), Windowed(12, 2, 2, 0, true, true)),
            (Windowed(13, 3, 2, 1, true, false), Windowed(7, 5, 1, 2, false, false)),
            (Windowed(6, 2, 5, 0, false, true), Windowed(9, 4, 3, 2, true, true)),
        ];
        int seed = 0;
        foreach (var (rows, columns) in cases)
            foreach (int channels in (int[])[1, 3, 20, 33, 132])
                Compare(lanes, ++seed, rows, columns, batch: seed % 4 == 3 ? 0 : 2, channels);

        static AverageAxis Windowed(int input, int kernel, int stride, int pad, bool ceil, bool countPadding) =>
            AverageAxis.Windowed(input, AverageAxis.OutputOf(input, kernel, stride, pad, ceil), kernel, stride, pad, countPadding);
    }

    private static void Compare(int lanes, int seed, AverageAxis rows, AverageAxis columns, int batch, int channels)
    {
        using var test = new KernelTest(lanes, 3);
        float[] x = KernelTest.Random(seed, (long)batch * rows.Input * columns.Input * channels);
        float[] gradY = KernelTest.Random(seed + 100, (long)batch * rows.Output * columns.Output * channels);
        var at = KernelTest.Widen(x);
        var input = test.Upload(x, batch, rows.Input, columns.Input, channels);
        TensorView y = test.Output(batch, rows.Output, columns.Output, channels), gradX = test.Fill(input.Shape.ToArray(), 0.5f);
        test.Run(new AveragePoolForward(input, y, rows, columns));
        test.Run(new AveragePoolBackward(test.Upload(gradY, y.Shape.ToArray()), gradX, rows, columns, Accumulate: true));
        double[] expected = new double[gradY.Length], gradient = new double[x.Length];
        Array.Fill(gradient, 0.5);
        for (int o = 0; o < gradY.Length; o++)
        {
            int c = o % channels, ox = o / channels % columns.Output, oy = o / channels / columns.Output % rows.Output, n = o / channels / columns.Output / rows.Output;
            double share = 1.0 / rows.Divisor(oy) / columns.Divisor(ox);
            for (int iy = rows.Begin(oy); iy < rows.End(oy); iy++)
                for (int ix = columns.Begin(ox); ix < columns.End(ox); ix++)
                {
                    int i = ((n * rows.Input + iy) * columns.Input + ix) * channels + c;
                    expected[o] += share * at[i];
                    gradient[i] += share * gradY[o];
                }
        }
        string what = $"{rows} x {columns}, {channels} channels";
        KernelTest.Close(expected, test.Read(y), Tolerance.Sum, "y: " + what);
        KernelTest.Close(gradient, test.Read(gradX), Tolerance.SumGradient, "gradX: " + what);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        AverageAxis rows = AverageAxis.Windowed(19, 19, 3, 1, 1, true), columns = AverageAxis.Adaptive(23, 6);
        var x = test.Upload(KernelTest.Random(3, 2 * 19 * 23 * 24), 2, 19, 23, 24);
        TensorView y = test.Output(2, 19, 6, 24), gradX = test.Output(x.Shape);
        test.Run(new AveragePoolForward(x, y, rows, columns));
        test.Run(new AveragePoolBackward(y, gradX, rows, columns, Accumulate: false));
        return [.. test.Read(y), .. test.Read(gradX)];
    });

    [Fact]
    public void ErrorsNameTheArgument()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(1, 8, 8, 2), y = test.Output(1, 4, 4, 2);
        Assert.Equal("AveragePoolForward: rows expects 7 (in ceil mode 7) outputs of 8 but is 4", Assert.Throws<KernelException>(() => test.Run(
            new AveragePoolForward(x, y, AverageAxis.Windowed(8, 4, 2, 1, 0, true), AverageAxis.Adaptive(8, 4)))).Message);
        Assert.Equal("AveragePoolForward: y expects f32[1,4,3,2] but is f32[1,4,4,2]", Assert.Throws<KernelException>(() => test.Run(
            new AveragePoolForward(x, y, AverageAxis.Adaptive(8, 4), AverageAxis.Adaptive(8, 3)))).Message);
    }
}
