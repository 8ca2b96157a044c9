using CudaKernels.Comm;
using CudaKernels.Kernels.Devices;
using CudaKernels.Ranks;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The contract of a group, for threads of one process.</summary>
public sealed unsafe class CollectiveTests
{
    public static TheoryData<int, string> Cases { get; } = Of(1, 2, 3, 4, 7);

    public static TheoryData<int, string> FewCases { get; } = Of(1, 3);

    [Theory]
    [MemberData(nameof(Cases))]
    public void OfThreads(int size, string name)
    {
        using var devices = new Devices(size);
        InProcessRanks.Run(devices.All, group => Case(name).Run(group, devices.All[group.Rank]));
    }

    /// <summary>The last rank's memory is not the processor's.</summary>
    [Theory]
    [MemberData(nameof(FewCases))]
    public void OfThreadsWithAnotherDevice(int size, string name)
    {
        var gpu = GpuUnderTest.Enter();
        try
        {
            using var devices = new Devices(size, gpu);
            InProcessRanks.Run(devices.All, group => Case(name).Run(group, devices.All[group.Rank]));
        }
        finally
        {
            GpuUnderTest.Leave();
        }
    }

    /// <summary>Rank 1 comes to each meeting at once, rank 0 after its tasks. In a group beside, threads leave the cores to those that compute.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhoWaitsDoesTasksOfWhomItWaitsFor(bool beside)
    {
        using var devices = new Devices(2);
        int helped = 0;
        nint address = (nint)(&helped);
        InProcessRanks.Run(devices.All, group =>
        {
            using var meeting = group.Split(0, beside);
            for (int i = 0; i < 50; i++)
            {
                if (group.Rank == 0)
                    ((CpuDevice)devices.All[0]).Team.For(8, new CountElsewhere((int*)address));
                meeting.Barrier();
            }
        });
        Assert.Equal(!beside, helped > 0);
    }

    [Fact]
    public void OfOne()
    {
        using var device = new CpuDevice(1);
        foreach (var rank in RankCases.All)
            rank.Run(new SingleRank(device), device);
    }

    /// <summary>Tasks of a millisecond; counts those that another thread than the caller's has done.</summary>
    private readonly struct CountElsewhere(int* count) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            Thread.Sleep(end - start);
            if (worker > 0)
                Interlocked.Add(ref *count, end - start);
        }
    }

    private static TheoryData<int, string> Of(params int[] sizes) => [.. from size in sizes from rank in RankCases.All select (size, rank.Name)];

    private static RankCase Case(string name) => RankCases.All.Single(c => c.Name == name);

    private sealed class Devices(int size, Device? last = null) : IDisposable
    {
        public Device[] All { get; } = [.. Enumerable.Range(0, size).Select(r => r == size - 1 && last is not null ? last : new CpuDevice(1))];

        public void Dispose()
        {
            foreach (var device in All.Where(d => d != last))
                device.Dispose();
        }
    }
}
