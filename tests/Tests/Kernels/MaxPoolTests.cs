using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class MaxPoolTests
{
    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("max_pool2d"))
        {
            var file = GoldenFile.Load(path);
            using var test = new KernelTest(lanes);
            var x = test.Upload(file, "x");
            var gradY = test.Upload(file, "grad_out");
            TensorView y = test.Output(gradY.Shape), index = test.Output(gradY.Shape, DType.I32), gradX = test.Output(x.Shape);
            test.Run(new MaxPoolForward(x, y, index, WindowOf(file)));
            test.Run(new MaxPoolBackward(gradY, index, gradX, WindowOf(file), Accumulate: false));
            test.Compare(file, "out", y, Tolerance.Exact);
            var places = KernelTest.ToChannelsFirst(test.ReadInts(index), y.Shape.ToArray());
            Assert.Equal(file.I64("indices"), Array.ConvertAll(places, place => (long)place));
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
        }
    }

    private static Window WindowOf(GoldenFile file)
    {
        int[] kernel = Pair("kernel"), stride = Pair("stride"), padding = Pair("padding"), dilation = Pair("dilation");
        return new Window(kernel[0], kernel[1], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]);

        int[] Pair(string name) => [.. file.Attribute(name)!.Value.EnumerateArray().Select(value => value.GetInt32())];
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesAPlainLoopAtAwkwardSizes(int lanes)
    {
        Window[] windows = [Window.Square(2, 2), Window.Square(3, 2, 1), Window.Square(3, 1, 1), Window.Square(5, 1, 2),
            new Window(1, 4, 3, 1, 0, 2, 1, 2), Window.Square(3, 3, 0, 3)];
        int seed = 0;
        foreach (var window in windows)
            foreach (int channels in (int[])[1, 3, 20, 33, 65])
                foreach (var (batch, height, width) in ((int, int, int)[])[(2, 13, 11), (1, 7, 30), (0, 9, 9)])
                    Compare(lanes, ++seed, window, batch, height, width, channels, channels % 3);
    }

    // Few distinct values, so that ties are common; extra: rows and columns that ceil mode adds where it may.
    private static void Compare(int lanes, int seed, Window window, int batch, int height, int width, int channels, int extra)
    {
        using var test = new KernelTest(lanes, 3);
        int outHeight = window.OutHeight(height), outWidth = window.OutWidth(width);
        if (extra > 0 && outHeight * window.StrideY < height + window.PadY)
            outHeight++;
        if (extra > 0 && outWidth * window.StrideX < width + window.PadX)
            outWidth++;
        var values = Array.ConvertAll(KernelTest.Random(seed, (long)batch * height * width * channels, 3), MathF.Round);
        var x = test.Upload(values, batch, height, width, channels);
        TensorView y = test.Output(batch, outHeight, outWidth, channels), index = test.Output(y.Shape, DType.I32);
        test.Run(new MaxPoolForward(x, y, index, window));
        var grads = KernelTest.Random(seed + 1000, y.Length);
        TensorView gradX = test.Fill(x.Shape.ToArray(), 0.5f);
        test.Run(new MaxPoolBackward(test.Upload(grads, batch, outHeight, outWidth, channels), index, gradX, window, Accumulate: true));
        float[] gotY = test.Read(y);
        int[] gotIndex = test.ReadInts(index);
        var expectedGrad = new double[values.Length];
        Array.Fill(expectedGrad, 0.5);
        for (int i = 0; i < gotY.Length; i++)
        {
            int c = i % channels, ox = i / channels % outWidth, oy = i / channels / outWidth % outHeight, n = i / channels / outWidth / outHeight;
            float best = float.NegativeInfinity;
            int place = -1;
            for (int ky = 0; ky < window.KernelHeight; ky++)
                for (int kx = 0; kx < window.KernelWidth; kx++)
                {
                    int iy = oy * window.StrideY - window.PadY + ky * window.DilationY, ix = ox * window.StrideX - window.PadX + kx * window.DilationX;
                    if (iy < 0 || iy >= height || ix < 0 || ix >= width)
                        continue;
                    float value = values[((n * height + iy) * width + ix) * channels + c];
                    if (place < 0 || value > best)
                        (best, place) = (value, iy * width + ix);
                }
            Assert.Equal((best, place), (gotY[i], gotIndex[i]));
            if (place >= 0)
                expectedGrad[(n * height * width + place) * channels + c] += grads[i];
        }
        KernelTest.Close(expectedGrad, test.Read(gradX), Tolerance.SumGradient, $"gradX of {window}, {channels} channels");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void NaNWinsAndMinusInfinityIsAMaximumToo(int lanes)
    {
        using var test = new KernelTest(lanes);
        var values = new float[4 * 4 * 17];
        Array.Fill(values, float.NegativeInfinity);
        values[5 * 17] = float.NaN; // pixel (1,1), channel 0
        values[0] = 3;
        var x = test.Upload(values, 1, 4, 4, 17);
        TensorView y = test.Output(1, 2, 2, 17), index = test.Output(y.Shape, DType.I32);
        test.Run(new MaxPoolForward(x, y, index, Window.Square(2, 2)));
        Assert.Equal((float.NaN, 5), (test.Read(y)[0], test.ReadInts(index)[0]));
        Assert.Equal((float.NegativeInfinity, 0), (test.Read(y)[1], test.ReadInts(index)[1]));
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var window = Window.Square(3, 1, 1);
        var x = test.Upload(KernelTest.Random(3, 2 * 19 * 23 * 21), 2, 19, 23, 21);
        TensorView y = test.Output(x.Shape), index = test.Output(x.Shape, DType.I32), gradX = test.Output(x.Shape);
        test.Run(new MaxPoolForward(x, y, index, window));
        test.Run(new MaxPoolBackward(x, index, gradX, window, Accumulate: false));
        return [.. test.Read(y), .. test.Read(gradX)];
    });

    [Fact]
    public void AWrongOutputSizeIsNamed()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(1, 8, 8, 2), y = test.Output(1, 5, 4, 2), index = test.Output(y.Shape, DType.I32);
        var error = Assert.Throws<KernelException>(() => test.Run(new MaxPoolForward(x, y, index, Window.Square(2, 2))));
        Assert.StartsWith("MaxPoolForward: y expects 4x4 (or one more with ceil mode) for kernel 2x2", error.Message);
    }
}
