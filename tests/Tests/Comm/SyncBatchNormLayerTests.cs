using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Batch norm over ranks, each with a thread, a device and a network of its own, against one rank with all images.</summary>
public sealed class SyncBatchNormLayerTests
{
    private const int Channels = 6;

    public static TheoryData<int[], int> Splits => new()
    {
        { [2, 2, 2, 2], 5 }, { [3, 2, 2, 1], 5 }, { [3, 3, 2, 0], 5 }, { [1, 1, 1, 1], 1 }, { [0, 4], 3 }, { [1, 2, 1], 4 },
    };

    [Theory]
    [MemberData(nameof(Splits))]
    public void RanksEqualOneBigBatch(int[] split, int size)
    {
        var one = Train([split.Sum()], size, ranksPerGroup: 1).Single();
        var ranks = Train(split, size, split.Length);
        string what = $"{string.Join('+', split)} images of {size} x {size}";
        KernelTest.Close(one.Y, Joined(ranks, r => r.Y), Tolerance.Norm, "y: " + what);
        KernelTest.Close(one.GradX, Joined(ranks, r => r.GradX), Tolerance.NormGradient, "gradient of x: " + what);
        foreach (string name in one.Gradients.Keys)
            KernelTest.Close(one.Gradients[name], Added(ranks, r => r.Gradients[name]), Tolerance.NormGradient, $"gradient of {name}: {what}");
        foreach (var rank in ranks)
            foreach (string name in one.Buffers.Keys)
            {
                KernelTest.Close(one.Buffers[name], rank.Buffers[name], Tolerance.Norm, $"{name}: {what}");
                Assert.Equal(ranks[0].Buffers[name], rank.Buffers[name]);
            }
    }

    [Fact]
    public void TwoRunsAreEqualBitForBit()
    {
        var (first, second) = (Train([3, 2, 0, 1], 5, 4), Train([3, 2, 0, 1], 5, 4));
        for (int r = 0; r < first.Length; r++)
            AssertSame(first[r], second[r]);
    }

    /// <summary>Two groups of two are two big batches; the gradients of γ and β are still shares to be added over all four.</summary>
    [Fact]
    public void GroupsKeepToThemselves()
    {
        var four = Train([2, 1, 3, 2], 4, ranksPerGroup: 2);
        var all = Input(8, 4);
        int half = 3 * 4 * 4 * Channels;
        Result first = Train([3], 4, 1, all[..half]).Single(), second = Train([5], 4, 1, all[half..], start: half).Single();
        foreach (var (one, pair) in (ReadOnlySpan<(Result, Result[])>)[(first, four[..2]), (second, four[2..])])
        {
            KernelTest.Close(one.Y, Joined(pair, r => r.Y), Tolerance.Norm, "y");
            KernelTest.Close(one.GradX, Joined(pair, r => r.GradX), Tolerance.NormGradient, "gradient of x");
            KernelTest.Close(one.Buffers["bn1.running_var"], pair[1].Buffers["bn1.running_var"], Tolerance.Norm, "running variance");
        }
        Assert.NotEqual(four[0].Buffers["bn1.running_var"], four[2].Buffers["bn1.running_var"]);
    }

    [Fact]
    public void GroupsOfOneRankAreWhatTheLayerIsWithoutAGroup()
    {
        var alone = Train([3], 5, 1).Single();
        var ranks = Train([3, 3], 5, ranksPerGroup: 1, input: [.. Input(3, 5), .. Input(3, 5)], repeatLoss: true);
        AssertSame(alone, ranks[0]);
        AssertSame(alone, ranks[1]);
        Assert.Equal(0, ranks[0].Calls);
    }

    /// <summary>Training takes one gather and one sum a layer, of the bytes they should have; fixed statistics take none.</summary>
    [Fact]
    public void TalksOnceInEachDirectionAndNotAtAllWithFixedStatistics()
    {
        var ranks = Train([1, 2], 5, 2);
        Assert.Equal(2 * 2, ranks[0].Calls);
        Assert.Equal(2 * sizeof(float) * (2 * Channels + 2 + 2 * Channels), ranks[0].Bytes);
        Result frozen = Train([3], 5, 1, training: false).Single();
        Result[] fixedRanks = Train([1, 2], 5, 2, training: false);
        Assert.All(fixedRanks, r => Assert.Equal(0, r.Calls));
        KernelTest.Close(frozen.Y, Joined(fixedRanks, r => r.Y), Tolerance.Norm, "y");
        KernelTest.Close(frozen.GradX, Joined(fixedRanks, r => r.GradX), Tolerance.NormGradient, "gradient of x");
        Assert.Equal(frozen.Buffers["bn2.running_mean"], fixedRanks[1].Buffers["bn2.running_mean"]);
    }

    /// <summary>A recomputed segment runs its layers twice, but neither gathers nor moves the running statistics again.</summary>
    [Fact]
    public void RecomputedSegmentsGatherOnce()
    {
        Result[] stored = Train([2, 1], 5, 2), recomputed = Train([2, 1], 5, 2, recompute: true);
        for (int r = 0; r < stored.Length; r++)
        {
            AssertSame(stored[r], recomputed[r]);
            Assert.Equal((stored[r].Calls, stored[r].Bytes), (recomputed[r].Calls, recomputed[r].Bytes));
        }
    }

    /// <summary>Without a tape, too, the convolution does not fold a norm away that takes the statistics of the group.</summary>
    [Fact]
    public void StatisticsWithoutATapeAreThoseOfTheGroup()
    {
        var taped = Train([2, 1], 5, 2);
        var untaped = Train([2, 1], 5, 2, record: false);
        for (int r = 0; r < taped.Length; r++)
        {
            Assert.Equal(taped[r].Y, untaped[r].Y);
            Assert.Equal(taped[r].Buffers["bn2.running_var"], untaped[r].Buffers["bn2.running_var"]);
        }
    }

    /// <summary>One rank's device is not the processor.</summary>
    [Fact]
    public void RanksMayHaveDifferentDevices()
    {
        var gpu = GpuUnderTest.Enter();
        try
        {
            Result[] expected = Train([2, 1], 5, 2), got = Train([2, 1], 5, 2, last: gpu);
            KernelTest.Close(Joined(expected, r => r.Y), Joined(got, r => r.Y), Tolerance.Norm, "y");
            KernelTest.Close(Joined(expected, r => r.GradX), Joined(got, r => r.GradX), Tolerance.NormGradient, "gradient of x");
            Assert.Equal(got[0].Buffers["bn1.running_mean"].Length, got[1].Buffers["bn1.running_mean"].Length);
            KernelTest.Close(got[0].Buffers["bn1.running_var"], got[1].Buffers["bn1.running_var"], Tolerance.Norm, "running variance");
        }
        finally
        {
            GpuUnderTest.Leave();
        }
    }

    [Fact]
    public void OneValueIsTooFewOnlyWhereNoOtherRankHasMore()
    {
        using var device = new CpuDevice(1);
        var norm = new BatchNorm2d(2);
        using var set = new ParameterSet(norm, device, seed: 1);
        using var sync = SyncBatchNorm.Attach(norm, new SingleRank(device), 1);
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, 2], 1, 1, 1, 2);
        Assert.Contains("more than one value per channel", Assert.Throws<TensorException>(() => norm.Forward(x)).Message);
    }

    [Fact]
    public void DisposingLeavesTheNetworkAsItWas()
    {
        using var device = new CpuDevice(1);
        var net = new Net();
        using (SyncBatchNorm.Attach(net, new SingleRank(device), 1))
            Assert.All(net.Modules<BatchNorm2d>(), norm => Assert.NotNull(norm.Group));
        Assert.All(net.Modules<BatchNorm2d>(), norm => Assert.Null(norm.Group));
        Assert.Equal(2, net.Modules<BatchNorm2d>().Count());
    }

    [Theory]
    [InlineData(32, 2, 128, 16)]
    [InlineData(2, 2, 1, 1)]
    [InlineData(12, 2, 6, 6)]
    public void GroupsOfImagesAreGroupsOfRanks(int images, int imagesPerRank, int ranks, int expected) =>
        Assert.Equal(expected, SyncBatchNorm.RanksPerGroup(images, imagesPerRank, ranks));

    [Theory]
    [InlineData(32, 2, 6, "SyncBatchNorm: a batch-norm group expects 2, 4, 6 or 12 images (6 ranks of 2 in equal groups) but is 32")]
    [InlineData(3, 2, 6, "SyncBatchNorm: a batch-norm group expects 2, 4, 6 or 12 images (6 ranks of 2 in equal groups) but is 3")]
    [InlineData(8, 2, 6, "SyncBatchNorm: a batch-norm group expects 2, 4, 6 or 12 images (6 ranks of 2 in equal groups) but is 8")]
    [InlineData(0, 4, 1, "SyncBatchNorm: a batch-norm group expects 4 images (1 ranks of 4 in equal groups) but is 0")]
    public void GroupsThatRanksCannotMakeAreRefused(int images, int imagesPerRank, int ranks, string message) =>
        Assert.Equal(message, Assert.Throws<KernelException>(() => SyncBatchNorm.RanksPerGroup(images, imagesPerRank, ranks)).Message);

    [Fact]
    public void RanksThatDoNotFallIntoGroupsAreRefused()
    {
        using var device = new CpuDevice(1);
        Assert.Equal("SyncBatchNorm: ranks per group expects a divisor of the 1 ranks but is 2; use 1",
            Assert.Throws<KernelException>(() => SyncBatchNorm.Attach(new Net(), new SingleRank(device), 2)).Message);
    }

    private sealed class Net : Module
    {
        private readonly Conv2d conv1, conv2;
        private readonly BatchNorm2d bn1, bn2;

        public Net()
        {
            conv1 = Add("conv1", new Conv2d(Channels, Channels, 3, bias: false));
            bn1 = Add("bn1", new BatchNorm2d(Channels));
            conv2 = Add("conv2", new Conv2d(Channels, Channels, 1, bias: false));
            bn2 = Add("bn2", new BatchNorm2d(Channels));
        }

        public Tensor Forward(Tensor x) => conv2.Forward(conv1.Forward(x, bn1, Activation.LeakyRelu(0.3f)), bn2, Activation.None, residual: x);
    }

    private sealed record Result(
        float[] Y, float[] GradX, IReadOnlyDictionary<string, float[]> Gradients, IReadOnlyDictionary<string, float[]> Buffers, long Calls, long Bytes);

    private static float[] Input(int images, int size) => KernelTest.Random(5, images * size * size * Channels, 2);

    /// <summary>A step of the network on each rank with its share of the images, taken from the input in the order of the ranks.</summary>
    /// <param name="start">Where the input stands in a larger one, for the weights of the loss.</param>
    /// <param name="repeatLoss">The weights of the loss begin anew on each rank.</param>
    private static Result[] Train(int[] split, int size, int ranksPerGroup, float[]? input = null, int start = 0, bool repeatLoss = false,
        bool training = true, bool recompute = false, bool record = true, Device? last = null)
    {
        float[] all = input ?? Input(split.Sum(), size);
        int image = size * size * Channels;
        var results = new Result[split.Length];
        Device[] devices = [.. split.Select((_, r) => r == split.Length - 1 && last is not null ? last : new CpuDevice(1))];
        try
        {
            InProcessRanks.Run(devices, group =>
            {
                int first = split[..group.Rank].Sum() * image, images = split[group.Rank];
                results[group.Rank] = Step(devices[group.Rank], group, all[first..(first + images * image)], [images, size, size, Channels], repeatLoss ? 0 : start + first);
            });
        }
        finally
        {
            foreach (var device in devices.Where(d => d != last))
                device.Dispose();
        }
        return results;

        Result Step(Device device, ICollective group, float[] x, int[] shape, int lossStart)
        {
            var net = new Net();
            using var set = new ParameterSet(net, device, seed: 9);
            using var sync = SyncBatchNorm.Attach(net, group, ranksPerGroup);
            net.Train(training);
            set.BeginGradients();
            using var scope = new StepScope(device, record);
            var leaf = LayerTest.Leaf(scope, x, shape);
            var y = recompute ? Recompute.Run(leaf, net.Forward) : net.Forward(leaf);
            float[] output = LayerTest.Read(y);
            if (record)
                scope.Backward(LayerTest.WeightedSum(y, start: lossStart));
            set.CompleteGradients();
            return new(output, LayerTest.GradientOf(leaf),
                set.Named.ToDictionary(p => p.Name, p => LayerTest.Read(device, p.Parameter.Gradient)),
                net.NamedBuffers().ToDictionary(b => b.Name, b => LayerTest.Read(device, b.Buffer.Value)),
                sync.Traffic.Rows.Sum(row => row.Calls), sync.Traffic.Rows.Sum(row => row.Bytes));
        }
    }

    private static float[] Joined(Result[] ranks, Func<Result, float[]> of) => [.. ranks.SelectMany(of)];

    private static float[] Added(Result[] ranks, Func<Result, float[]> of) =>
        [.. Enumerable.Range(0, of(ranks[0]).Length).Select(i => (float)ranks.Sum(r => (double)of(r)[i]))];

    private static void AssertSame(Result expected, Result got)
    {
        Assert.Equal(expected.Y, got.Y);
        Assert.Equal(expected.GradX, got.GradX);
        foreach (string name in expected.Gradients.Keys)
            Assert.Equal(expected.Gradients[name], got.Gradients[name]);
        foreach (string name in expected.Buffers.Keys)
            Assert.Equal(expected.Buffers[name], got.Buffers[name]);
    }
}
