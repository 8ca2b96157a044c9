using System.Diagnostics;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A rank that throws, leaves, hangs or asks for something else ends the others soon, and they say who it was and during what.</summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class RankFailureTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(0.8);

    [Fact]
    public void ARankThatThrowsEndsTheOthersInEveryGroup()
    {
        var ends = Run(4, (group, device) =>
        {
            using var pair = group.Split(group.Rank / 2);
            if (group.Rank == 2)
                throw new KernelException("out of memory");
            Reduce(group.Rank == 3 ? pair : group, device, 64);
        });
        Assert.Equal("out of memory", ends[2]);
        foreach (int r in (int[])[0, 1, 3])
            Assert.Equal("rank 2 failed during all-reduce (sum) of f32[64]: out of memory", ends[r]);
    }

    [Fact]
    public void WhoComesLaterIsToldToo()
    {
        var ends = Run(2, (group, device) =>
        {
            if (group.Rank == 1)
                throw new KernelException("gone");
            Thread.Sleep(100);
            Assert.Throws<CollectiveException>(group.Barrier);
            Reduce(group, device, 3);
        });
        Assert.Equal("rank 1 failed during all-reduce (sum) of f32[3]: gone", ends[0]);
    }

    [Theory]
    [InlineData("all-reduce (sum) of f32[5]", "all-reduce (sum) of f32[4]")]
    [InlineData("all-reduce (max) of f32[4]", "all-reduce (sum) of f32[4]")]
    [InlineData("all-gather of f32[4]", "all-gather of u8[4]")]
    [InlineData("broadcast of f32[4] from rank 1", "broadcast of f32[4] from rank 0")]
    [InlineData("reduce (sum) of f32[4] to rank 1", "reduce (sum) of f32[4] to rank 0")]
    [InlineData("barrier", "all-reduce (sum) of f32[4]")]
    [InlineData("split", "barrier")]
    [InlineData("all-reduce (sum) of f32[2,2]", "all-reduce (sum) of f32[4]")]
    public void ARankThatDisagreesIsNamedByAll(string came, string expected)
    {
        var ends = Run(4, (group, device) => Ask(group, device, group.Rank == 1 ? came : expected));
        for (int r = 0; r < 4; r++)
            Assert.Equal($"rank 1 disagrees during {(r == 1 ? came : expected)}: {expected} was expected but it came with {came}; every rank calls the same operations in the same order", ends[r]);
    }

    [Fact]
    public void ARankThatLeavesIsNamed()
    {
        var ends = Run(3, (group, device) =>
        {
            if (group.Rank < 2)
                Reduce(group, device, 8);
        });
        Assert.Equal(["rank 2 has left during all-reduce (sum) of f32[8]: it ended its part of the group while others go on", "rank 2 has left during all-reduce (sum) of f32[8]: it ended its part of the group while others go on", ""], ends);
    }

    [Fact]
    public void ARankThatStandsStillIsNamed()
    {
        using var end = new ManualResetEventSlim();
        long start = Stopwatch.GetTimestamp();
        var ends = Run(3, (group, device) =>
        {
            Reduce(group, device, 8);
            if (group.Rank == 1)
                end.Wait(TimeSpan.FromSeconds(30));
            try
            {
                Reduce(group, device, 8);
            }
            finally
            {
                end.Set();
            }
        });
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.7, 5);
        foreach (int r in (int[])[0, 2])
            Assert.Equal("rank 1 stands still during all-reduce (sum) of f32[8]: no kernel, no operation and no declared work for 0.8 s", ends[r]);
    }

    [Fact]
    public void ASlowRankIsWaitedFor()
    {
        Assert.Equal(["", "", ""], Run(3, (group, device) =>
        {
            if (group.Rank == 1)
                using (device.HostWork("evaluation"))
                    Thread.Sleep(2 * Patience);
            if (group.Rank == 2)
                for (int i = 0; i < 16; i++)
                {
                    Thread.Sleep(Patience / 8);
                    using (device.HostWork("a picture from a slow disk"))
                    {
                    }
                }
            Reduce(group, device, 8);
        }));
    }

    [Fact]
    public void RanksThatWaitForEachOtherAreNamed()
    {
        var ends = Run(2, (group, device) =>
        {
            using var other = group.Split(0);
            Reduce(group.Rank == 0 ? group : other, device, 8 + group.Rank);
        });
        const string Both = "the ranks wait for each other: rank 0 in all-reduce (sum) of f32[8], rank 1 in all-reduce (sum) of f32[9]";
        Assert.Equal(["rank 0 stands still during all-reduce (sum) of f32[8]: " + Both, "rank 0 stands still during all-reduce (sum) of f32[9]: " + Both], ends);
    }

    [Fact]
    public void TheRunItselfThrowsTheWitness()
    {
        using var one = new CpuDevice(1);
        using var two = new CpuDevice(1);
        var e = Assert.Throws<CollectiveException>(() => InProcessRanks.Run([one, two], group =>
        {
            if (group.Rank == 1)
                throw new KernelException("gone");
            Reduce(group, one, 3);
        }));
        Assert.Equal((1, "gone"), (e.Rank, e.InnerException!.Message));
        Assert.Throws<KernelException>(() => InProcessRanks.Run([one], _ => throw new KernelException("gone")));
    }

    [Fact]
    public void AMachineThatSleptIsNoRankThatHangs()
    {
        var watch = new StallWatch(2, TimeSpan.FromSeconds(6));
        RankStatus[] ranks = [new(5, false, 1, new(CollectiveKind.Barrier)), new(9, false, 0, default)];
        for (int second = 0; second < 5; second++)
            Assert.Null(watch.Observe(ranks, TimeSpan.FromSeconds(second)));
        for (int second = 1000; second < 1006; second++)
            Assert.Null(watch.Observe(ranks, TimeSpan.FromSeconds(second)));
        Assert.Equal(1, watch.Observe(ranks, TimeSpan.FromSeconds(1006))!.Rank);
    }

    /// <summary>What each rank's work ended with: the exception's words, or nothing.</summary>
    private static string[] Run(int size, Action<ICollective, Device> work)
    {
        var ends = new string[size];
        var devices = Enumerable.Range(0, size).Select(_ => new CpuDevice(1)).ToArray();
        try
        {
            InProcessRanks.Run(devices, group =>
            {
                ends[group.Rank] = "";
                try
                {
                    work(group, devices[group.Rank]);
                }
                catch (Exception e)
                {
                    ends[group.Rank] = e.Message;
                    throw;
                }
            }, Patience);
        }
        catch (Exception e) when (e is CollectiveException or KernelException)
        {
        }
        finally
        {
            foreach (var device in devices)
                device.Dispose();
        }
        return ends;
    }

    private static void Reduce(ICollective group, Device device, int length) => Ask(group, device, $"all-reduce (sum) of f32[{length}]");

    private static void Ask(ICollective group, Device device, string call)
    {
        int[] dims = call.IndexOf('[') is > 0 and var at ? [.. call[(at + 1)..call.IndexOf(']')].Split(',').Select(int.Parse)] : [1];
        var view = device.Rent(new Shape(dims), call.Contains("u8") ? DType.U8 : DType.F32, "ranks");
        var all = device.Rent(new Shape((int)view.Length * group.Size), view.Type, "ranks");
        int root = call[^1] - '0';
        switch (call.Split(' ')[0])
        {
            case "all-reduce": group.AllReduce(view, call.Contains("(max)") ? Reduction.Max : Reduction.Sum); break;
            case "reduce": group.Reduce(view, Reduction.Sum, root); break;
            case "broadcast": group.Broadcast(view, root); break;
            case "all-gather": group.AllGather(view, all); break;
            case "barrier": group.Barrier(); break;
            default: group.Split(0).Dispose(); break;
        }
        device.Return(view);
        device.Return(all);
    }
}
