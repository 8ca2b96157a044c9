using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The kernels of batch norm over ranks, with all ranks on one device: each measures its shard, one merges, each applies.</summary>
public class SyncBatchNormTests
{
    private const float Epsilon = 1e-5f, Momentum = 0.1f;

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("sync_batch_norm"))
        {
            var file = GoldenFile.Load(path);
            bool hard = path.Contains("b5_shift", StringComparison.Ordinal);
            var (forward, backward) = hard ? (Tolerance.Cancellation, Tolerance.CancellationGradient) : (Tolerance.Norm, Tolerance.NormGradient);
            int[] split = [.. file.Attribute("split")!.Value.EnumerateArray().Select(n => n.GetInt32())], shape = file.Shape("x");
            using var test = new KernelTest(lanes);
            int channels = shape[1];
            var ranks = new Ranks(test, split, [shape[2], shape[3], channels],
                KernelTest.ToChannelsLast(file.F32("x"), shape), KernelTest.ToChannelsLast(file.F32("grad_out"), shape),
                file.Has("weight") ? file.F32("weight") : Repeat(1, channels), file.Has("bias") ? file.F32("bias") : Repeat(0, channels),
                file.F32("running_mean"), file.F32("running_var"));
            ranks.Run(Activation.None);

            string what = path + ", " + lanes;
            KernelTest.Close(file.F64("batch_mean"), test.Read(ranks.Mean), forward, "mean: " + what);
            KernelTest.Close(file.F64("batch_var_biased"), test.Read(ranks.Variance), forward, "variance: " + what);
            KernelTest.Close(file.F64("new_running_mean"), test.Read(ranks.RunningMean), forward, "running mean: " + what);
            KernelTest.Close(file.F64("new_running_var"), test.Read(ranks.RunningVariance), forward, "running variance: " + what);
            KernelTest.Close(file.F64("out"), KernelTest.ToChannelsFirst(ranks.All(r => r.Y), [shape[0], shape[2], shape[3], channels]), forward, "y: " + what);
            KernelTest.Close(file.F64("grad.x"), KernelTest.ToChannelsFirst(ranks.All(r => r.GradX), [shape[0], shape[2], shape[3], channels]), backward, "gradient of x: " + what);
            KernelTest.Close(file.F64("shard_grad_weight"), ranks.All(r => r.GradGamma), backward, "shares of the gradient of γ: " + what);
            KernelTest.Close(file.F64("shard_grad_bias"), ranks.All(r => r.GradBeta), backward, "shares of the gradient of β: " + what);
            if (!file.Has("grad.weight"))
                continue;
            KernelTest.Close(file.F64("grad.weight"), ranks.Total(r => r.GradGamma), backward, "gradient of γ: " + what);
            KernelTest.Close(file.F64("grad.bias"), ranks.Total(r => r.GradBeta), backward, "gradient of β: " + what);
        }
    }

    /// <summary>The worked figures of batch norm over two unequal ranks: means of the ranks' means would give 3.6667 and 4.5556.</summary>
    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void MatchesTheWorkedExample(int lanes)
    {
        using var test = new KernelTest(lanes);
        var ranks = new Ranks(test, [3, 2], [1], [1, 2, 4, 3, 7], [0.3f, -0.2f, 0.5f, 1, -0.7f], [1.5f], [0.25f], [10], [20]);
        ranks.Run(Activation.None);
        Close([3.4], ranks.Mean);
        Close([4.24], ranks.Variance);
        Close([0.9 * 10 + 0.1 * 3.4], ranks.RunningMean);
        Close([0.9 * 20 + 0.1 * 5.3], ranks.RunningVariance);
        Assert.Equal([0, 5], test.Read(ranks.Rows));
        Close([0.9, -3.06], ranks.Sums);
        double[] gradX = [-.1649345, -.4240204, .2961959, .5552817, -.2625227];
        KernelTest.Close(gradX, ranks.All(r => r.GradX), new Tolerance(0, 0, 1e-6), "gradient of x");
        KernelTest.Close([0.9], ranks.Total(r => r.GradBeta), Tolerance.Pointwise, "gradient of β");
        KernelTest.Close([-3.06 * 0.4856424], ranks.Total(r => r.GradGamma), Tolerance.Pointwise, "gradient of γ");

        void Close(double[] expected, TensorView got) => KernelTest.Close(expected, test.Read(got), Tolerance.Pointwise, "worked example");
    }

    public static TheoryData<int, int[]> Splits
    {
        get
        {
            var data = new TheoryData<int, int[]>();
            foreach (int lanes in (int[])[1, 8, KernelTest.Gpu, KernelTest.GpuByFour, KernelTest.PtxMachine, KernelTest.PtxMachineByFour])
                foreach (int[] split in (int[][])[[2, 2, 2, 2], [3, 2, 2, 1], [3, 3, 2, 0], [0, 8], [8]])
                    data.Add(lanes, split);
            return data;
        }
    }

    /// <summary>Every rank on its own against one rank with the whole batch, and both against the formula in double.</summary>
    [Theory]
    [MemberData(nameof(Splits))]
    public void RanksEqualOneBigBatch(int lanes, int[] split)
    {
        int seed = 10;
        foreach (int channels in (int[])[1, 3, 16, 33, 132])
        {
            int height = KernelTest.Smaller(lanes, 29, 5), length = split.Sum() * height * 3 * channels;
            using var test = new KernelTest(lanes);
            float[] x = KernelTest.Random(++seed, length, 2), gradY = KernelTest.Random(seed + 100, length);
            for (int i = 0; i < length; i++)
                x[i] += 50 * (i % channels % 3); // means larger than the spread
            float[] gamma = KernelTest.Random(seed + 200, channels, 2), beta = KernelTest.Random(seed + 300, channels);
            float[] mean = KernelTest.Random(seed + 400, channels), variance = Array.ConvertAll(KernelTest.Random(seed + 500, channels), v => 1 + v);
            Ranks many = Make(split), one = Make([split.Sum()]);
            many.Run(Activation.LeakyRelu(0.1f));
            one.Run(Activation.LeakyRelu(0.1f));

            string what = $"{channels} channels over {string.Join('+', split)}";
            KernelTest.Close(test.Read(one.Mean), test.Read(many.Mean), Tolerance.Norm, "mean: " + what);
            KernelTest.Close(test.Read(one.Variance), test.Read(many.Variance), Tolerance.Norm, "variance: " + what);
            KernelTest.Close(test.Read(one.RunningMean), test.Read(many.RunningMean), Tolerance.Norm, "running mean: " + what);
            KernelTest.Close(test.Read(one.RunningVariance), test.Read(many.RunningVariance), Tolerance.Norm, "running variance: " + what);
            KernelTest.Close(one.All(r => r.Y), many.All(r => r.Y), Tolerance.Norm, "y: " + what);
            KernelTest.Close(one.All(r => r.GradX), many.All(r => r.GradX), Tolerance.NormGradient, "gradient of x: " + what);
            KernelTest.Close(one.Total(r => r.GradGamma), many.Total(r => r.GradGamma), Tolerance.NormGradient, "gradient of γ: " + what);
            KernelTest.Close(one.Total(r => r.GradBeta), many.Total(r => r.GradBeta), Tolerance.NormGradient, "gradient of β: " + what);

            var (expectedMean, expectedVariance) = Statistics(x, channels);
            KernelTest.Close(expectedMean, test.Read(many.Mean), new Tolerance(0, 1e-6, 1e-6), "mean in double: " + what);
            KernelTest.Close(expectedVariance, test.Read(many.Variance), new Tolerance(0, 2e-5), "variance in double: " + what);

            Ranks Make(int[] parts) => new(test, parts, [height, 3, channels], x, gradY, gamma, beta, mean, variance);
        }
    }

    /// <summary>Counts that no float holds, merged from parts that nobody measured.</summary>
    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void CountsAreExactBeyondTheIntegersOfAFloat(int lanes)
    {
        const int Channels = 5;
        long[] rows = [(1L << 24) + 1, 0, (1L << 40) + (1L << 24) - 1, 3];
        float[] means = [1, float.NaN, 1.5f, 700], squares = [2e7f, float.NaN, 3e12f, 5];
        var parts = new List<float>();
        for (int rank = 0; rank < rows.Length; rank++)
        {
            for (int c = 0; c < Channels; c++)
                parts.Add(means[rank] * (c + 1));
            parts.AddRange(Repeat(squares[rank], Channels));
            var (high, low) = RowCount.Split(rows[rank]);
            parts.AddRange([high, low]);
            Assert.Equal(rows[rank], RowCount.Join(high, low));
        }
        int[] present = [0, 2, 3];
        double total = present.Sum(r => (double)rows[r]), mean = present.Sum(r => rows[r] * (double)means[r]) / total;
        double spread = present.Sum(r => rows[r] * (means[r] - mean) * (means[r] - mean)), square = present.Sum(r => (double)squares[r]);

        using var test = new KernelTest(lanes);
        TensorView gotMean = test.Output(Channels), gotVariance = test.Output(Channels), gotRows = test.Output(RowCount.Length);
        test.Run(new BatchNormMerge(test.Upload([.. parts], rows.Length, 2 * Channels + 2), gotMean, gotVariance, gotRows));
        Assert.Equal([(1 << 16) + 2, 3], test.Read(gotRows));
        double[] factors = [1, 2, 3, 4, 5];
        KernelTest.Close(Array.ConvertAll(factors, f => f * mean), test.Read(gotMean), new Tolerance(0, 1e-7), "mean");
        KernelTest.Close(Array.ConvertAll(factors, f => (square + f * f * spread) / total), test.Read(gotVariance), new Tolerance(0, 1e-7), "variance");
    }

    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void CountsOnTheDeviceAreUsedAsKnownOnesAre(int lanes)
    {
        foreach (long rows in (long[])[1, 2, 3, (1 << 24) + 1, (1L << 31) + 5])
        {
            using var test = new KernelTest(lanes);
            var (high, low) = RowCount.Split(rows);
            var words = RowCount.At(test.Upload([high, low], RowCount.Length));
            Assert.Equal(Results(rows), Results(words));

            float[] Results(RowCount count)
            {
                TensorView mean = test.Upload([1f, 2, 3, 4], 4), variance = test.Upload([1, 1e-3f, 7, 0], 4), sum = test.Upload([5e6f, 0, -1, 3], 4);
                TensorView running = test.Zeros(4), spread = test.Zeros(4), x = test.Upload([5f, 6, 7, 8], 1, 4), gradX = test.Output(1, 4);
                test.Run(new BatchNormUpdateRunning(mean, variance, running, spread, count, 0.3f));
                test.Run(new BatchNormInputGradient(x, default, x, mean, variance, mean, sum, sum, count, gradX, default, Epsilon, Activation.None, true, false));
                return [.. test.Read(running), .. test.Read(spread), .. test.Read(gradX)];
            }
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void AGroupWithoutRowsLeavesTheRunningStatisticsAndOneRowComesOutAsBeta(int lanes)
    {
        using var test = new KernelTest(lanes);
        var none = new Ranks(test, [0, 0], [2, 5], [], [], Repeat(1, 5), Repeat(2, 5), Repeat(3, 5), Repeat(4, 5));
        none.Run(Activation.None);
        Assert.Equal(Repeat(3, 5), test.Read(none.RunningMean));
        Assert.Equal(Repeat(4, 5), test.Read(none.RunningVariance));
        Assert.Equal([0, 0], test.Read(none.Rows));
        Assert.Equal(new float[10], none.All(r => r.GradGamma));

        var one = new Ranks(test, [0, 1], [1, 3], [5, -7, 9], [1, 2, 3], Repeat(2, 3), [1, 2, 3], Repeat(0, 3), Repeat(1, 3));
        one.Run(Activation.None);
        Assert.Equal([1, 2, 3], one.All(r => r.Y));
        KernelTest.Close([0, 0, 0], one.All(r => r.GradX), new Tolerance(0, 0, 1e-3), "gradient of x");
        KernelTest.Close([0.5, -0.7, 0.9], test.Read(one.RunningMean), Tolerance.Pointwise, "running mean");
        KernelTest.Close([0.9, 0.9, 0.9], test.Read(one.RunningVariance), Tolerance.Pointwise, "running variance");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        int channels = 20, rows = KernelTest.Smaller(lanes, 1009, 101), length = 7 * rows * channels;
        var ranks = new Ranks(test, [4, 0, 3], [rows, channels], KernelTest.Random(3, length), KernelTest.Random(4, length),
            Repeat(1, channels), Repeat(0, channels), Repeat(0, channels), Repeat(1, channels));
        ranks.Run(Activation.Relu);
        return [.. test.Read(ranks.Mean), .. test.Read(ranks.Variance), .. test.Read(ranks.RunningVariance), .. ranks.All(r => r.Y), .. ranks.All(r => r.GradX), .. ranks.All(r => r.GradGamma)];
    });

    [Fact]
    public void ErrorsNameTheArgument()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(2, 3, 3, 8), eight = test.Output(8), two = test.Output(2), parts = test.Output(4, 17);
        Assert.Equal("BatchNormPart: part expects f32[18] but is f32[8]",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormPart(x, eight))).Message);
        Assert.Equal("BatchNormMerge: parts expects f32[4,18] but is f32[4,17]",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormMerge(parts, eight, test.Output(8), two))).Message);
        Assert.Equal("BatchNormUpdateRunning: count expects f32[2] but is f32[8]",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormUpdateRunning(eight, eight, eight, eight, RowCount.At(eight), 0.1f))).Message);
        Assert.Equal("BatchNormInputGradient: count expects the 18 rows here and those of other ranks but is 17",
            Assert.Throws<KernelException>(() => test.Run(new BatchNormInputGradient(x, default, x, eight, eight, eight, eight, eight, 17, x, default, 0, Activation.None, true, false))).Message);
    }

    private static float[] Repeat(float value, int count) => [.. Enumerable.Repeat(value, count)];

    private static (double[] Mean, double[] Variance) Statistics(float[] x, int channels)
    {
        double[] mean = new double[channels], variance = new double[channels];
        int rows = x.Length / channels;
        for (int i = 0; i < x.Length; i++)
            mean[i % channels] += x[i] / (double)rows;
        for (int i = 0; i < x.Length; i++)
            variance[i % channels] += (x[i] - mean[i % channels]) * (x[i] - mean[i % channels]) / rows;
        return (mean, variance);
    }

    private sealed record Shard(TensorView X, TensorView GradY, TensorView Y, TensorView GradX, TensorView GradGamma, TensorView GradBeta, TensorView Sums);

    /// <summary>Ranks on one device. Gathering is writing parts side by side, summing is adding in rank order.</summary>
    private sealed class Ranks
    {
        private readonly KernelTest test;
        private readonly int channels;
        private readonly TensorView parts, gamma, beta;
        private readonly List<Shard> shards = [];

        public Ranks(KernelTest test, int[] split, int[] image, float[] x, float[] gradY, float[] gamma, float[] beta, float[] runningMean, float[] runningVariance)
        {
            (this.test, channels) = (test, image[^1]);
            parts = test.Output(split.Length, BatchNormPart.Length(channels));
            (this.gamma, this.beta) = (test.Upload(gamma, channels), test.Upload(beta, channels));
            (RunningMean, RunningVariance) = (test.Upload(runningMean, channels), test.Upload(runningVariance, channels));
            (Mean, Variance, Rows, Sums) = (test.Output(channels), test.Output(channels), test.Output(RowCount.Length), test.Zeros(2 * channels));
            int at = 0, imageLength = image.Aggregate(1, (a, b) => a * b);
            foreach (int images in split)
            {
                int[] shape = [images, .. image];
                int end = at + images * imageLength;
                shards.Add(new(test.Upload(x[at..end], shape), test.Upload(gradY[at..end], shape), test.Output(shape), test.Output(shape),
                    test.Output(channels), test.Output(channels), test.Output(2 * channels)));
                at = end;
            }
        }

        public TensorView Mean { get; }

        public TensorView Variance { get; }

        public TensorView Rows { get; }

        public TensorView RunningMean { get; }

        public TensorView RunningVariance { get; }

        /// <summary>Σg and Σg·(x - mean) over all ranks.</summary>
        public TensorView Sums { get; }

        public void Run(Activation activation)
        {
            int length = BatchNormPart.Length(channels);
            for (int i = 0; i < shards.Count; i++)
                test.Run(new BatchNormPart(shards[i].X, parts.Slice(i * length, new Shape(length))));
            test.Run(new BatchNormMerge(parts, Mean, Variance, Rows));
            var rows = RowCount.At(Rows);
            test.Run(new BatchNormUpdateRunning(Mean, Variance, RunningMean, RunningVariance, rows, Momentum));
            foreach (var r in shards)
            {
                test.Run(new BatchNormApply(r.X, Mean, Variance, gamma, beta, default, r.Y, Epsilon, activation));
                var (sum, centred) = Halves(r.Sums);
                test.Run(new BatchNormReduceGradient(r.X, r.Y, r.GradY, Mean, sum, centred, activation));
                test.Run(new BatchNormParameterGradient(sum, centred, Variance, r.GradGamma, r.GradBeta, Epsilon, Accumulate: false));
                test.Run(new AddInto(r.Sums, Sums));
            }
            foreach (var r in shards)
            {
                var (sum, centred) = Halves(Sums);
                test.Run(new BatchNormInputGradient(
                    r.X, r.Y, r.GradY, Mean, Variance, gamma, sum, centred, rows, r.GradX, default, Epsilon, activation, Training: true, Accumulate: false));
            }
        }

        /// <summary>What the ranks have, one after another.</summary>
        public float[] All(Func<Shard, TensorView> of) => [.. shards.SelectMany(r => test.Read(of(r)))];

        public float[] Total(Func<Shard, TensorView> of) => [.. Enumerable.Range(0, channels).Select(c => (float)shards.Sum(r => (double)test.Read(of(r))[c]))];

        private (TensorView Sum, TensorView Centred) Halves(TensorView sums) =>
            (sums.Slice(0, new Shape(channels)), sums.Slice(channels, new Shape(channels)));
    }
}
