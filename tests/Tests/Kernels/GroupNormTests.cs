using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class GroupNormTests
{
    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("group_norm"))
        {
            var file = GoldenFile.Load(path);
            using var test = new KernelTest(lanes);
            TensorView x = test.Upload(file, "x"), gradY = test.Upload(file, "grad_out");
            int channels = x.Shape.Channels;
            TensorView gamma = file.Has("weight") ? test.Upload(file, "weight") : test.Ones(channels);
            TensorView beta = file.Has("bias") ? test.Upload(file, "bias") : test.Zeros(channels);
            var got = Pass(test, x, gradY, gamma, beta, file.Attribute("num_groups")!.Value.GetInt32(), file.Attribute("eps")!.Value.GetSingle(), Activation.None);
            test.Compare(file, "out", got.Y, Tolerance.Norm);
            test.Compare(file, "grad.x", got.GradX, Tolerance.NormGradient);
            if (!file.Has("grad.weight"))
                continue;
            test.Compare(file, "grad.weight", got.GradGamma, Tolerance.NormGradient);
            test.Compare(file, "grad.bias", got.GradBeta, Tolerance.NormGradient);
        }
    }

    private static (TensorView Mean, TensorView Variance, TensorView Y, TensorView GradX, TensorView GradGamma, TensorView GradBeta) Pass(
        KernelTest test, TensorView x, TensorView gradY, TensorView gamma, TensorView beta, int groups, float epsilon, Activation activation, bool accumulate = false)
    {
        int batch = x.Shape[0], channels = x.Shape.Channels;
        TensorView mean = test.Output(batch, groups), variance = test.Output(batch, groups), y = test.Output(x.Shape);
        test.Run(new GroupNormForward(x, gamma, beta, y, mean, variance, epsilon, activation));
        TensorView sum = test.Output(batch, channels), centred = test.Output(batch, channels);
        float start = accumulate ? 1 : float.NaN;
        TensorView gradX = test.Fill(x.Shape.ToArray(), start), gradGamma = test.Fill([channels], start), gradBeta = test.Fill([channels], start);
        test.Run(new GroupNormGradient(x, y, gradY, mean, variance, gamma, sum, centred, gradX, epsilon, activation, accumulate));
        float[] sums = [.. test.Read(sum), .. test.Read(centred)];
        test.Run(new GroupNormGradient(x, y, gradY, mean, variance, gamma, sum, centred, default, epsilon, activation, accumulate));
        Assert.Equal(sums, (float[])[.. test.Read(sum), .. test.Read(centred)]);
        test.Run(new GroupNormParameterGradient(sum, centred, variance, gradGamma, gradBeta, epsilon, accumulate));
        return (mean, variance, y, gradX, gradGamma, gradBeta);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void StatisticsMatchDoubleAtAwkwardSizes(int lanes)
    {
        int seed = 0;
        foreach (var (batch, pixels, channels, groups) in ((int, int, int, int)[])
            [(1, 1, 1, 1), (2, 7, 3, 3), (3, 33, 20, 5), (1, 700, 130, 1), (2, 1003, 64, 32), (2, 3000, 65, 13), (1, 70000, 6, 2), (0, 5, 4, 2), (2, 0, 4, 2)])
        {
            using var test = new KernelTest(lanes, 3);
            float[] values = KernelTest.Random(++seed, (long)batch * pixels * channels);
            for (int i = 0; i < values.Length; i++)
                values[i] += 1000 * (i / Math.Max(1, channels / groups) % groups % 3); // means far larger than the spread
            TensorView mean = test.Output(batch, groups), variance = test.Output(batch, groups);
            var x = test.Upload(values, batch, pixels, channels);
            test.Run(new GroupNormForward(x, test.Ones(channels), test.Zeros(channels), x, mean, variance, 1e-5f, Activation.None));
            double[] expectedMean = new double[batch * groups], expectedVariance = new double[batch * groups];
            int Of(int i) => i / (pixels * channels) * groups + i % channels / (channels / groups);
            double count = Math.Max(1, pixels * (channels / groups));
            for (int i = 0; i < values.Length; i++)
                expectedMean[Of(i)] += values[i] / count;
            for (int i = 0; i < values.Length; i++)
                expectedVariance[Of(i)] += Math.Pow(values[i] - expectedMean[Of(i)], 2) / count;
            // A mean of nearly zero is as exact as the spread around it, about one here, allows.
            KernelTest.Close(expectedMean, test.Read(mean), new Tolerance(1e-6, 1e-6, 1e-8), $"mean, {pixels} x {channels} in {groups}");
            KernelTest.Close(expectedVariance, test.Read(variance), new Tolerance(0, 2e-5, 1e-6), $"variance, {pixels} x {channels} in {groups}");
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void HasTheGradientOfTheFormula(int lanes)
    {
        int seed = 100;
        foreach (var (channels, groups) in ((int, int)[])[(1, 1), (6, 2), (20, 4), (33, 1), (5, 5)])
            foreach (var activation in (Activation[])[Activation.None, Activation.Relu, Activation.LeakyRelu(0.1f)])
                CheckGradient(lanes, ++seed, batch: 2, pixels: 5, channels, groups, activation);
    }

    private static void CheckGradient(int lanes, int seed, int batch, int pixels, int channels, int groups, Activation activation)
    {
        const float Epsilon = 1e-2f;
        using var test = new KernelTest(lanes);
        int length = batch * pixels * channels, share = channels / groups;
        float[] x = KernelTest.Random(seed, length, 2), upstream = KernelTest.Random(seed + 1, length);
        float[] gamma = KernelTest.Random(seed + 2, channels, 2), beta = KernelTest.Random(seed + 3, channels);

        // The loss of all arguments in one vector, in double.
        double[] at = [.. KernelTest.Widen(x), .. KernelTest.Widen(gamma), .. KernelTest.Widen(beta)];
        double[] Output(double[] p)
        {
            var y = new double[length];
            for (int n = 0; n < batch; n++)
                for (int g = 0; g < groups; g++)
                {
                    int[] own = [.. Enumerable.Range(0, pixels * share).Select(i => (n * pixels + i / share) * channels + g * share + i % share)];
                    double mean = own.Average(i => p[i]), variance = own.Average(i => (p[i] - mean) * (p[i] - mean));
                    foreach (int i in own)
                    {
                        double value = p[length + i % channels] * (p[i] - mean) / Math.Sqrt(variance + Epsilon) + p[length + channels + i % channels];
                        y[i] = value > 0 ? value : value * activation.Factor;
                    }
                }
            return y;
        }
        double[] expected = KernelTest.NumericGradient(p => Output(p).Zip(upstream, (u, v) => u * v).Sum(), at, 1e-6);
        var got = Pass(test, test.Upload(x, batch, pixels, channels), test.Upload(upstream, batch, pixels, channels), test.Upload(gamma, channels),
            test.Upload(beta, channels), groups, Epsilon, activation, accumulate: true);
        string what = $"{channels} channels in {groups}, {activation}";
        KernelTest.Close(Output(at), test.Read(got.Y), Tolerance.Norm, "y: " + what);
        CheckPart("gradX", got.GradX, 0, length);
        CheckPart("gradGamma", got.GradGamma, length, channels);
        CheckPart("gradBeta", got.GradBeta, length + channels, channels);

        void CheckPart(string name, TensorView view, int start, int count) => KernelTest.Close(
            Array.ConvertAll(expected[start..(start + count)], value => value + 1), test.Read(view), Tolerance.NormGradient, $"{name}: {what}");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        const int Channels = 40;
        int pixels = KernelTest.Smaller(lanes, 5003, 307);
        TensorView x = test.Upload(KernelTest.Random(3, 3 * pixels * Channels), 3, pixels, Channels), gradY = test.Upload(KernelTest.Random(4, x.Length), 3, pixels, Channels);
        var got = Pass(test, x, gradY, test.Ones(Channels), test.Zeros(Channels), 8, 1e-5f, Activation.Relu);
        return [.. test.Read(got.Mean), .. test.Read(got.Variance), .. test.Read(got.Y), .. test.Read(got.GradX), .. test.Read(got.GradGamma), .. test.Read(got.GradBeta)];
    });

    /// <summary>More images than the processor takes together: each comes out as if it were alone.</summary>
    [Fact]
    public void ImagesAreIndependent()
    {
        const int Batch = 3, Pixels = 6000, Channels = 64, Groups = 8;
        float[] x = KernelTest.Random(1, Batch * Pixels * Channels), gradY = KernelTest.Random(2, x.Length);
        using var test = new KernelTest(8);
        TensorView views = test.Upload(x, Batch, Pixels, Channels), gamma = test.Upload(KernelTest.Random(3, Channels), Channels), beta = test.Zeros(Channels);
        Assert.InRange(GroupNormShapes.AtOnce(views), 1, Batch - 1);
        var all = Pass(test, views, test.Upload(gradY, Batch, Pixels, Channels), gamma, beta, Groups, 1e-5f, Activation.Relu);
        float[] y = test.Read(all.Y), gradX = test.Read(all.GradX);
        for (int image = 0; image < Batch; image++)
        {
            var range = (image * Pixels * Channels)..((image + 1) * Pixels * Channels);
            var one = Pass(test, test.Upload(x[range], 1, Pixels, Channels), test.Upload(gradY[range], 1, Pixels, Channels), gamma, beta, Groups, 1e-5f, Activation.Relu);
            Assert.Equal(y[range], test.Read(one.Y));
            Assert.Equal(gradX[range], test.Read(one.GradX));
        }
    }

    [Fact]
    public void ErrorsNameTheArgument()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(2, 3, 3, 8), three = test.Output(2, 3), four = test.Output(2, 4);
        Assert.Equal("GroupNormForward: mean expects 2 images and a divisor of 8 channels but is f32[2,3]",
            Assert.Throws<KernelException>(() => test.Run(new GroupNormForward(x, four, four, x, three, three, 1e-5f, Activation.None))).Message);
        Assert.Equal("GroupNormGradient: y expects f32[2,3,3,8] but is none",
            Assert.Throws<KernelException>(() => test.Run(new GroupNormGradient(x, default, x, four, four, four, four, four, x, 1e-5f, Activation.Relu, false))).Message);
    }
}
