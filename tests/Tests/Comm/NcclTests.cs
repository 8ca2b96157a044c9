using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Ranks;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// Without the library there is one line that says so. What is done with it is tested on a stub for ranks that are threads, on devices of host memory; the library
/// itself runs with one rank where there is a GPU, and as rung k of the ladder.
/// </summary>
public sealed class NcclTests
{
    [Fact]
    public void AnAbsentOrForeignLibraryIsNamed()
    {
        using var folder = new TempFolder();
        string empty = folder.Write("libnccl.so.2", "");
        foreach (string name in (string[])["libnccl-of-no-machine.so.2", empty])
        {
            string message = Assert.Throws<KernelException>(() => NcclNative.Load(name)).Message;
            Assert.StartsWith("NCCL: ", message);
            Assert.Contains(name, message);
            Assert.DoesNotContain('\n', message);
        }
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void EveryCaseOfAGroupOnAStub(int size, bool controlled) => OnAStub(size, (nccl, id, control, device) =>
    {
        using var group = NcclCollective.Join(nccl, device, id, control.Rank, size, controlled ? control.Split(0) : null);
        foreach (var rank in RankCases.All)
            rank.Run(group, device);
        using var beside = group.Split(0, beside: true);
        RankCases.All[0].Run(beside, device);
    });

    [Fact]
    public void RanksThatDisagreeAreNamedBeforeTheLibraryHangs()
    {
        var words = new string[3];
        OnAStub(3, (nccl, id, control, device) =>
        {
            using var group = NcclCollective.Join(nccl, device, id, control.Rank, 3, control.Split(0));
            var view = device.Rent(new Shape(control.Rank == 1 ? 5 : 4), DType.F32, "ranks");
            words[control.Rank] = Assert.Throws<CollectiveException>(() => group.AllReduce(view, Reduction.Sum)).Message;
        });
        Assert.All(words, w => Assert.StartsWith("rank 1 disagrees during all-reduce (sum) of f32[", w));
    }

    /// <summary>Beyond the compared calls the library alone knows who is there; the failure ends its waits.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARankThatFailsEndsTheWaitsOfTheOthers(bool inChild)
    {
        string[] words = new string[2];
        var e = Assert.Throws<CollectiveException>(() => OnAStub(2, (nccl, id, control, device) =>
        {
            using var root = NcclCollective.Join(nccl, device, id, control.Rank, 2, control.Split(0));
            using var child = root.Split(0, beside: true);
            var group = inChild ? child : root;
            var view = device.Rent(new Shape(8), DType.F32, "ranks");
            for (int i = 0; i < 1010; i++)
                group.AllReduce(view, Reduction.Sum);
            if (control.Rank == 1)
            {
                Thread.Sleep(200);
                var failure = new KernelException("out of memory");
                root.Fail(failure);
                throw failure;
            }
            try
            {
                group.AllReduce(view, Reduction.Sum);
            }
            catch (CollectiveException seen)
            {
                words[0] = seen.Message;
                throw;
            }
        }));
        Assert.Equal("rank 1 failed during all-reduce (sum) of f32[8]: out of memory", words[0]);
        Assert.Equal(1, e.Rank);
    }

    [Fact]
    public void AFailureIsInTheLibrarysWords() => OnAStub(1, (nccl, id, control, device) =>
        Assert.Equal("NCCL: ncclCommInitRank failed: invalid argument (4)", Assert.Throws<KernelException>(() => NcclCollective.Join(nccl, device, id, 1, 1, null)).Message));

    [Fact]
    public void OneRankWithTheLibraryItself()
    {
        NcclNative nccl;
        GpuDevice device;
        try
        {
            nccl = NcclNative.Load();
            device = GpuDevice.Open("cuda:0");
        }
        catch (KernelException e)
        {
            Assert.Skip($"NCCL itself is not tested here: {e.Message}");
            throw;
        }
        using (nccl)
        using (device)
        using (var group = NcclCollective.Join(nccl, device, nccl.NewId(), rank: 0, size: 1, control: null))
            foreach (var rank in RankCases.All)
                rank.Run(group, device);
    }

    private static void OnAStub(int size, Action<NcclNative, NcclId, ICollective, GpuDevice> work)
    {
        using var folder = new TempFolder();
        using var nccl = NcclNative.Load(StubLibrary.Compile(folder, NcclStub.Source, "libnccl.so.2"));
        var devices = Enumerable.Range(0, size).Select(_ => GpuDevice.Open("ilgpu-cpu")).ToArray();
        var id = nccl.NewId();
        try
        {
            InProcessRanks.Run(devices, control => work(nccl, id, control, devices[control.Rank]));
        }
        finally
        {
            foreach (var device in devices)
                device.Dispose();
        }
    }
}
