using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class BatchNormTests
{
    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("batch_norm"))
        {
            var file = GoldenFile.Load(path);
            bool hard = path.Contains("large_mean", StringComparison.Ordinal), training = file.Attribute("training")!.Value.GetBoolean();
            var (forward, backward) = hard ? (Tolerance.Cancellation, Tolerance.CancellationGradient) : (Tolerance.Norm, Tolerance.NormGradient);
            float epsilon = file.Attribute("eps")!.Value.GetSingle();
            using var test = new KernelTest(lanes);
            TensorView x = test.Upload(file, "x"), gradY = test.Upload(file, "grad_out"), y = test.Output(x.Shape), gradX = test.Output(x.Shape);
            int channels = x.Shape.Channels;
            TensorView gamma = file.Has("weight") ? test.Upload(file, "weight") : test.Ones(channels);
            TensorView beta = file.Has("bias") ? test.Upload(file, "bias") : test.Zeros(channels);
            TensorView mean = test.Output(channels), variance = test.Output(channels), sum = test.Output(channels), centred = test.Output(channels);
            if (training)
            {
                test.Run(new BatchNormStatistics(x, mean, variance));
                test.Compare(file, "batch_mean", mean, forward);
                test.Compare(file, "batch_var_biased", variance, hard ? new Tolerance(0, 1e-3) : forward);
            }
            if (file.Has("new_running_mean"))
            {
                TensorView runningMean = test.Upload(file, "running_mean"), runningVariance = test.Upload(file, "running_var");
                var momentum = file.Attribute("momentum")!.Value;
                float share = momentum.ValueKind == System.Text.Json.JsonValueKind.Null ? 1f / 4 : momentum.GetSingle(); // cumulative: the file says the fourth batch
                test.Run(new BatchNormUpdateRunning(mean, variance, runningMean, runningVariance, x.Shape.Rows, share));
                test.Compare(file, "new_running_mean", runningMean, forward);
                test.Compare(file, "new_running_var", runningVariance, hard ? new Tolerance(0, 1e-3) : forward);
            }
            if (!training)
                (mean, variance) = (test.Upload(file, "running_mean"), test.Upload(file, "running_var"));
            test.Run(new BatchNormApply(x, mean, variance, gamma, beta, default, y, epsilon, Activation.None));
            test.Compare(file, "out", y, forward);
            test.Run(new BatchNormReduceGradient(x, default, gradY, mean, sum, centred, Activation.None));
            test.Run(new BatchNormInputGradient(x, default, gradY, mean, variance, gamma, sum, centred, x.Shape.Rows, gradX, default, epsilon,
                Activation.None, training, Accumulate: false));
            test.Compare(file, "grad.x", gradX, backward);
            if (!file.Has("grad.weight"))
                continue;
            TensorView gradGamma = test.Output(channels), gradBeta = test.Output(channels);
            test.Run(new BatchNormParameterGradient(sum, centred, variance, gradGamma, gradBeta, epsilon, Accumulate: false));
            test.Compare(file, "grad.weight", gradGamma, backward);
            test.Compare(file, "grad.bias", gradBeta, backward);
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void StatisticsMatchDoubleAtEveryChannelCount(int lanes)
    {
        int seed = 0;
        foreach (int channels in (int[])[1, 2, 3, 4, 20, 31, 64, 65, 127, 129, 200])
            foreach (int rows in (int[])[0, 1, 2, 5, 33, 1000, 70000 / channels])
            {
                using var test = new KernelTest(lanes, 3);
                float[] values = KernelTest.Random(++seed, (long)rows * channels);
                for (int i = 0; i < values.Length; i++)
                    values[i] = 1000 * (i % channels % 3) + (1 + i % channels) * values[i]; // means far larger than the spread
                TensorView mean = test.Output(channels), variance = test.Output(channels);
                test.Run(new BatchNormStatistics(test.Upload(values, rows, channels), mean, variance));
                var (expectedMean, expectedVariance) = Statistics(values, rows, channels);
                KernelTest.Close(expectedMean, test.Read(mean), new Tolerance(0, 1e-6, 1e-6 * channels), $"mean, {rows} x {channels}");
                KernelTest.Close(expectedVariance, test.Read(variance), new Tolerance(0, 2e-5, 1e-6), $"variance, {rows} x {channels}");
            }
    }

    private static (double[] Mean, double[] Variance) Statistics(float[] x, int rows, int channels)
    {
        double[] mean = new double[channels], variance = new double[channels];
        for (int i = 0; i < x.Length; i++)
            mean[i % channels] += x[i] / (double)rows;
        for (int i = 0; i < x.Length; i++)
            variance[i % channels] += Math.Pow(x[i] - mean[i % channels], 2) / rows;
        return (mean, variance);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void AMeanFarFromTheFirstRowsDoesNotCancel(int lanes)
    {
        // Sums shifted by the first row would lose three digits here. 1376 rows are what a block's own shift is made of, 30,000 more than a block.
        const int Rows = 60000, Channels = 3;
        foreach (int away in (int[])[1, 1376, 30000])
        {
            var values = Array.ConvertAll(KernelTest.Random(7, Rows * Channels, 0.5f), value => value + 4096);
            values.AsSpan(0, away * Channels).Clear();
            using var test = new KernelTest(lanes);
            TensorView mean = test.Output(Channels), variance = test.Output(Channels);
            test.Run(new BatchNormStatistics(test.Upload(values, Rows, Channels), mean, variance));
            var expected = Statistics(values, Rows, Channels);
            KernelTest.Close(expected.Mean, test.Read(mean), new Tolerance(0, 1e-6), $"mean, {away} rows away");
            KernelTest.Close(expected.Variance, test.Read(variance), new Tolerance(0, 1e-5), $"variance, {away} rows away");
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void FusedActivationAndResidualHaveTheGradientOfTheFormula(int lanes)
    {
        int seed = 100;
        foreach (int channels in (int[])[1, 3, 20])
            foreach (bool training in (bool[])[true, false])
                foreach (bool residual in (bool[])[true, false])
                    foreach (var activation in (Activation[])[Activation.None, Activation.Relu, Activation.LeakyRelu(0.1f)])
                        CheckGradient(lanes, ++seed, rows: 7, channels, training, residual, activation);
    }

    private static void CheckGradient(int lanes, int seed, int rows, int channels, bool training, bool residual, Activation activation)
    {
        const float Epsilon = 1e-2f;
        using var test = new KernelTest(lanes);
        int length = rows * channels;
        float[] x = KernelTest.Random(seed, length, 2), other = KernelTest.Random(seed + 1, length), upstream = KernelTest.Random(seed + 2, length);
        float[] gamma = KernelTest.Random(seed + 3, channels, 2), beta = KernelTest.Random(seed + 4, channels);
        float[] runningMean = KernelTest.Random(seed + 5, channels), runningVariance = Array.ConvertAll(KernelTest.Random(seed + 6, channels), v => 1 + v * v);

        // The loss of all arguments in one vector, in double.
        double[] at = [.. KernelTest.Widen(x), .. KernelTest.Widen(gamma), .. KernelTest.Widen(beta), .. KernelTest.Widen(other)];
        double[] Output(double[] p)
        {
            var y = new double[length];
            for (int c = 0; c < channels; c++)
            {
                double mean = runningMean[c], variance = runningVariance[c];
                if (training)
                {
                    double[] column = [.. Enumerable.Range(0, rows).Select(r => p[r * channels + c])];
                    mean = column.Average();
                    variance = column.Average(v => (v - mean) * (v - mean));
                }
                for (int i = c; i < length; i += channels)
                {
                    y[i] = p[length + c] * (p[i] - mean) / Math.Sqrt(variance + Epsilon) + p[length + channels + c];
                    if (residual)
                        y[i] += p[length + 2 * channels + i];
                    y[i] = y[i] > 0 ? y[i] : y[i] * activation.Factor;
                }
            }
            return y;
        }
        double[] expected = KernelTest.NumericGradient(p => Output(p).Zip(upstream, (u, v) => u * v).Sum(), at, 1e-6);

        TensorView input = test.Upload(x, rows, channels), scale = test.Upload(gamma, channels), shift = test.Upload(beta, channels);
        TensorView branch = residual ? test.Upload(other, rows, channels) : default, gradY = test.Upload(upstream, rows, channels);
        TensorView mean = training ? test.Output(channels) : test.Upload(runningMean, channels);
        TensorView variance = training ? test.Output(channels) : test.Upload(runningVariance, channels);
        if (training)
            test.Run(new BatchNormStatistics(input, mean, variance));
        var y = test.Output(rows, channels);
        test.Run(new BatchNormApply(input, mean, variance, scale, shift, branch, y, Epsilon, activation));
        string what = $"{channels} channels, training {training}, residual {residual}, {activation}";
        KernelTest.Close(Output(at), test.Read(y), Tolerance.Norm, "y: " + what);

        TensorView sum = test.Output(channels), centred = test.Output(channels), gradX = test.Ones(rows, channels);
        TensorView gradBranch = residual ? test.Ones(rows, channels) : default, gradGamma = test.Ones(channels), gradBeta = test.Ones(channels);
        test.Run(new BatchNormReduceGradient(input, y, gradY, mean, sum, centred, activation));
        test.Run(new BatchNormParameterGradient(sum, centred, variance, gradGamma, gradBeta, Epsilon, Accumulate: true));
        test.Run(new BatchNormInputGradient(input, y, gradY, mean, variance, scale, sum, centred, rows, gradX, gradBranch, Epsilon, activation,
            training, Accumulate: true, AccumulateResidual: true));
        CheckPart("gradX", gradX, 0, length);
        CheckPart("gradGamma", gradGamma, length, channels);
        CheckPart("gradBeta", gradBeta, length + channels, channels);
        if (residual)
            CheckPart("gradResidual", gradBranch, length + 2 * channels, length);

        void CheckPart(string name, TensorView got, int start, int count) => KernelTest.Close(
            Array.ConvertAll(expected[start..(start + count)], value => value + 1), test.Read(got), Tolerance.NormGradient, $"{name}: {what}");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void GradientSumsMatchDoubleOverManyBlocks(int lanes)
    {
        foreach (int channels in (int[])[1, 3, 24, 65, 131])
        {
            using var test = new KernelTest(lanes, 3);
            int rows = 200000 / channels + 1;
            float[] x = KernelTest.Random(1, (long)rows * channels, 3), y = KernelTest.Random(2, x.Length), gradY = KernelTest.Random(3, x.Length);
            float[] mean = KernelTest.Random(4, channels);
            double[] sum = new double[channels], centred = new double[channels];
            for (int i = 0; i < x.Length; i++)
            {
                double g = y[i] > 0 ? gradY[i] : 0;
                sum[i % channels] += g;
                centred[i % channels] += g * ((double)x[i] - mean[i % channels]);
            }
            TensorView gotSum = test.Output(channels), gotCentred = test.Output(channels);
            test.Run(new BatchNormReduceGradient(test.Upload(x, rows, channels), test.Upload(y, rows, channels), test.Upload(gradY, rows, channels),
                test.Upload(mean, channels), gotSum, gotCentred, Activation.Relu));
            var tolerance = new Tolerance(1e-5, 1e-5, 1e-6 * rows);
            KernelTest.Close(sum, test.Read(gotSum), tolerance, "sum");
            KernelTest.Close(centred, test.Read(gotCentred), tolerance, "centred sum");
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        const int Rows = 5003, Channels = 20;
        TensorView x = test.Upload(KernelTest.Random(3, Rows * Channels), Rows, Channels), gradY = test.Upload(KernelTest.Random(4, Rows * Channels), Rows, Channels);
        TensorView mean = test.Output(Channels), variance = test.Output(Channels), sum = test.Output(Channels), centred = test.Output(Channels);
        TensorView y = test.Output(Rows, Channels), gradX = test.Output(Rows, Channels), gamma = test.Ones(Channels), beta = test.Zeros(Channels);
        test.Run(new BatchNormStatistics(x, mean, variance));
        test.Run(new BatchNormApply(x, mean, variance, gamma, beta, default, y, 1e-5f, Activation.Relu));
        test.Run(new BatchNormReduceGradient(x, y, gradY, mean, sum, centred, Activation.Relu));
        test.Run(new BatchNormInputGradient(x, y, gradY, mean, variance, gamma, sum, centred, Rows, gradX, default, 1e-5f, Activation.Relu, true, false));
        return [.. test.Read(mean), .. test.Read(variance), .. test.Read(y), .. test.Read(sum), .. test.Read(centred), .. test.Read(gradX)];
    });

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void AnEmptyBatchHasZeroStatisticsAndLeavesTheRunningOnes(int lanes)
    {
        using var test = new KernelTest(lanes);
        TensorView x = test.Output(0, 4, 4, 5), mean = test.Output(5), variance = test.Output(5), running = test.Ones(5), spread = test.Ones(5);
        test.Run(new BatchNormStatistics(x, mean, variance));
        test.Run(new BatchNormUpdateRunning(mean, variance, running, spread, 0, 0.1f));
        Assert.Equal([0, 0, 0, 0, 0], test.Read(mean));
        Assert.Equal([0, 0, 0, 0, 0], test.Read(variance));
        Assert.Equal([1, 1, 1, 1, 1], test.Read(running));
        test.Run(new BatchNormApply(x, mean, variance, running, spread, default, x, 1e-5f, Activation.None));
        test.Run(new BatchNormReduceGradient(x, default, x, mean, running, spread, Activation.None));
        Assert.Equal([0, 0, 0, 0, 0], test.Read(running));
        test.Run(new BatchNormInputGradient(x, default, x, mean, variance, spread, running, spread, 0, x, default, 1e-5f, Activation.None, true, false));
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void FixedStatisticsAreOneFactorAndOneSummand(int lanes)
    {
        using var test = new KernelTest(lanes);
        float[] mean = [1, -2, 0, 300], variance = [1, 0, 4, 1e-3f], gamma = [1, 2, -3, 0.5f], beta = [0, 1, 2, 3];
        TensorView scale = test.Output(4), shift = test.Output(4);
        test.Run(new BatchNormAffine(test.Upload(mean, 4), test.Upload(variance, 4), test.Upload(gamma, 4), test.Upload(beta, 4), scale, shift, 1e-5f));
        double[] factors = [.. Enumerable.Range(0, 4).Select(c => gamma[c] / Math.Sqrt(variance[c] + 1e-5))];
        KernelTest.Close(factors, test.Read(scale), Tolerance.Pointwise, "scale");
        KernelTest.Close([.. Enumerable.Range(0, 4).Select(c => beta[c] - mean[c] * factors[c])], test.Read(shift), Tolerance.Pointwise, "shift");
    }

    [Fact]
    public void ErrorsNameTheArgument()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(2, 3, 3, 8), five = test.Output(5), eight = test.Output(8);
        Assert.Equal("BatchNormApply: gamma expects f32[8] but is f32[5]",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormApply(x, eight, eight, five, eight, default, x, 1e-5f, Activation.None))).Message);
        Assert.Equal("BatchNormReduceGradient: y expects f32[2,3,3,8] but is none",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormReduceGradient(x, default, x, eight, eight, eight, Activation.Relu))).Message);
    }
}
