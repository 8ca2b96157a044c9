using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class ResizeTests
{
    private enum Mode
    {
        Nearest,
        HalfPixel,
        AlignCorners,
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("interpolate"))
        {
            var file = GoldenFile.Load(path);
            string? name = file.Attribute("mode")!.Value.GetString();
            if (name is not ("nearest" or "bilinear"))
            {
                TestContext.Current.TestOutputHelper?.WriteLine($"skipped: the project has no resize {name}");
                continue;
            }
            var mode = name == "nearest" ? Mode.Nearest : file.Attribute("align_corners")!.Value.GetBoolean() ? Mode.AlignCorners : Mode.HalfPixel;
            using var test = new KernelTest(lanes);
            var x = test.Upload(file, "x");
            var gradY = test.Upload(file, "grad_out");
            TensorView y = test.Output(gradY.Shape), gradX = test.Output(x.Shape);
            Forward(test, mode, x, y);
            Backward(test, mode, gradY, gradX, accumulate: false);
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesAPlainLoopAndItsTransposeAtAwkwardSizes(int lanes)
    {
        (int, int, int, int)[] sizes = [(5, 7, 10, 14), (1, 1, 4, 3), (9, 4, 3, 9), (6, 6, 1, 1), (3, 17, 50, 2), (8, 8, 8, 8), (2, 2, 31, 33), (40, 3, 7, 1)];
        int seed = 0;
        foreach (var (height, width, outHeight, outWidth) in sizes)
            foreach (int channels in (int[])[1, 3, 20, 65])
                foreach (var mode in Enum.GetValues<Mode>())
                {
                    using var test = new KernelTest(lanes, 3);
                    float[] values = KernelTest.Random(++seed, 2L * height * width * channels);
                    float[] grads = KernelTest.Random(seed + 1000, 2L * outHeight * outWidth * channels);
                    TensorView x = test.Upload(values, 2, height, width, channels), gradY = test.Upload(grads, 2, outHeight, outWidth, channels);
                    TensorView y = test.Output(gradY.Shape), gradX = test.Ones(2, height, width, channels);
                    Forward(test, mode, x, y);
                    Backward(test, mode, gradY, gradX, accumulate: true);
                    double[] expected = new double[grads.Length], expectedGrad = new double[values.Length];
                    Array.Fill(expectedGrad, 1);
                    for (int i = 0; i < grads.Length; i++)
                    {
                        int c = i % channels, ox = i / channels % outWidth, oy = i / channels / outWidth % outHeight, n = i / channels / outWidth / outHeight;
                        foreach (var (iy, weightY) in Sources(mode, oy, height, outHeight))
                            foreach (var (ix, weightX) in Sources(mode, ox, width, outWidth))
                            {
                                int at = ((n * height + iy) * width + ix) * channels + c;
                                expected[i] += weightY * weightX * values[at];
                                expectedGrad[at] += weightY * weightX * grads[i];
                            }
                    }
                    string what = $"{mode} {height}x{width} to {outHeight}x{outWidth}, {channels} channels";
                    KernelTest.Close(expected, test.Read(y), Tolerance.Sum, what);
                    KernelTest.Close(expectedGrad, test.Read(gradX), Tolerance.SumGradient, "gradient of " + what);
                }
    }

    private static IEnumerable<(int At, double Weight)> Sources(Mode mode, int o, int input, int output)
    {
        if (mode == Mode.Nearest)
        {
            yield return (o * input / output, 1);
            yield break;
        }
        double source = mode == Mode.HalfPixel ? Math.Max(0, (o + 0.5) * input / output - 0.5)
            : output == 1 ? 0 : o * (input - 1.0) / (output - 1);
        int low = (int)source;
        yield return (low, 1 - (source - low));
        yield return (Math.Min(low + 1, input - 1), source - low);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void AnEmptyBatchIsFine(int lanes)
    {
        using var test = new KernelTest(lanes);
        TensorView x = test.Output(0, 3, 3, 5), y = test.Output(0, 6, 6, 5);
        Forward(test, Mode.HalfPixel, x, y);
        Backward(test, Mode.HalfPixel, y, x, accumulate: false);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var x = test.Upload(KernelTest.Random(3, 2 * 11 * 13 * 37), 2, 11, 13, 37);
        TensorView y = test.Output(2, 25, 19, 37), gradX = test.Output(x.Shape);
        Forward(test, Mode.HalfPixel, x, y);
        Backward(test, Mode.HalfPixel, y, gradX, accumulate: false);
        return [.. test.Read(y), .. test.Read(gradX)];
    });

    [Fact]
    public void OtherChannelsAreRefused()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(1, 2, 2, 8), y = test.Output(1, 4, 4, 7);
        Assert.Equal("NearestForward: y expects batch and channels of x f32[1,2,2,8] but is f32[1,4,4,7]",
            Assert.Throws<KernelException>(() => test.Run(new NearestForward(x, y))).Message);
    }

    private static void Forward(KernelTest test, Mode mode, TensorView x, TensorView y)
    {
        if (mode == Mode.Nearest)
            test.Run(new NearestForward(x, y));
        else
            test.Run(new BilinearForward(x, y, mode == Mode.AlignCorners));
    }

    private static void Backward(KernelTest test, Mode mode, TensorView gradY, TensorView gradX, bool accumulate)
    {
        if (mode == Mode.Nearest)
            test.Run(new NearestBackward(gradY, gradX, accumulate));
        else
            test.Run(new BilinearBackward(gradY, gradX, mode == Mode.AlignCorners, accumulate));
    }
}
