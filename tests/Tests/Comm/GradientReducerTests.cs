using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Gradients of several ranks become their sums, however the block is cut and whatever a rank's pass leaves out.</summary>
public sealed class GradientReducerTests
{
    private const int Ranks = 3;

    private sealed class Net : Module
    {
        public Net()
        {
            First = Add("first", new Conv2d(3, 8, 3));
            Shared = Add("shared", new Conv2d(8, 8, 3));
            Unused = Add("unused", new Conv2d(8, 5, 1));
            Last = Add("last", new Conv2d(8, 2, 1));
        }

        public Conv2d First { get; }

        public Conv2d Shared { get; }

        public Conv2d Unused { get; }

        public Conv2d Last { get; }
    }

    [Fact]
    public void BucketsOfAnySizeGiveTheSameBits()
    {
        var own = Enumerable.Range(0, Ranks).Select(rank => Gradients(rank)).ToArray();
        var sums = Reduced(GradientReducer.DefaultBucketBytes);
        for (int i = 0; i < sums[0].Length; i++)
            Assert.Equal(own.Sum(g => (double)g[i]), sums[0][i], 1e-5);
        foreach (int bytes in new[] { 1, 300, 3000 })
            Assert.All(Reduced(bytes), each => Assert.Equal(sums[0], each));
        Assert.Contains(sums[0], v => v != 0);
    }

    [Fact]
    public void ARankThatLeavesALayerOutCountsAsZeroAndKeepsTheOrder()
    {
        var sums = Reduced(1, skipsShared: rank => rank == 1);
        var whole = Enumerable.Range(0, Ranks).Select(rank => Gradients(rank, rank == 1)).ToArray();
        for (int i = 0; i < sums[0].Length; i++)
            Assert.Equal(whole.Sum(g => (double)g[i]), sums[0][i], 1e-5);
        Assert.All(sums, each => Assert.Equal(sums[0], each));
    }

    [Fact]
    public void ReductionBeginsBeforeTheBackwardPassEnds()
    {
        Device[] devices = [new CpuDevice(1), new CpuDevice(1)];
        InProcessRanks.Run(devices, group =>
        {
            var device = devices[group.Rank];
            var net = new Net();
            using var set = new ParameterSet(net, device, 1);
            using var reducer = new GradientReducer(set, group, 1);
            for (int step = 0; step < 2; step++)
            {
                using var scope = new StepScope(device, record: true);
                set.BeginGradients();
                reducer.Begin();
                scope.Backward([Loss(net, scope, 0, false)], parameter =>
                {
                    reducer.Complete(parameter);
                    // Both wait here for what is under way; in the first step the order is not known yet.
                    if (parameter == net.Shared.Bias && step == 1)
                        Assert.True(SpinWait.SpinUntil(() => Reductions(reducer) > 8, TimeSpan.FromSeconds(20)), "nothing was reduced while the backward pass stood still");
                });
                reducer.Finish();
                Assert.Equal(8 * (step + 1), Reductions(reducer));
            }
        });
        foreach (var device in devices)
            device.Dispose();

        static long Reductions(GradientReducer reducer) => reducer.Traffic.Rows.Where(r => r.Call.Kind == CollectiveKind.AllReduce).Sum(r => r.Calls);
    }

    private static float[][] Reduced(int bucketBytes, Func<int, bool>? skipsShared = null)
    {
        Device[] devices = [.. Enumerable.Range(0, Ranks).Select(_ => new CpuDevice(1))];
        var sums = new float[Ranks][];
        InProcessRanks.Run(devices, group =>
        {
            var net = new Net();
            using var set = new ParameterSet(net, devices[group.Rank], 1);
            using var reducer = new GradientReducer(set, group, bucketBytes);
            for (int step = 0; step < 3; step++) // the first one learns the order
            {
                using var scope = new StepScope(devices[group.Rank], record: true);
                set.BeginGradients();
                reducer.Begin();
                scope.Backward([Loss(net, scope, group.Rank, skipsShared?.Invoke(group.Rank) ?? false)], reducer.Complete);
                reducer.Finish();
            }
            sums[group.Rank] = set.Gradients.AsFloats().ToArray();
        });
        foreach (var device in devices)
            device.Dispose();
        return sums;
    }

    private static float[] Gradients(int rank, bool skipsShared = false)
    {
        using var device = new CpuDevice(1);
        var net = new Net();
        using var set = new ParameterSet(net, device, 1);
        using var scope = new StepScope(device, record: true);
        set.BeginGradients();
        scope.Backward(Loss(net, scope, rank, skipsShared));
        set.CompleteGradients();
        return set.Gradients.AsFloats().ToArray();
    }

    private static Tensor Loss(Net net, StepScope scope, int rank, bool skipsShared)
    {
        var x = scope.Upload<float>(KernelTest.Random(10 + rank, 2 * 6 * 6 * 3), new Shape(2, 6, 6, 3), "x");
        var y = net.First.Forward(x);
        if (!skipsShared)
            y = net.Shared.Forward(net.Shared.Forward(y));
        return LayerTest.WeightedSum(net.Last.Forward(y));
    }
}
