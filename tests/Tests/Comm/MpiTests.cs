using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Ranks;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// The contract of a group, for processes. The cases compare bit for bit with sums in rank order written the plain way, as those of threads do: so both
/// implementations give the same bits.
/// </summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class MpiTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void EveryCaseOfAGroup(int size)
    {
        var run = MpiRun.Ranks(size, "cases");
        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Equal(RankCases.All.Select(c => "ok " + c.Name), run.Lines.Where(line => line.StartsWith("ok ")));
    }

    [Theory]
    [InlineData("throws", 6, "rank 2 failed during all-reduce (sum) of f32[64]: out of memory")]
    [InlineData("killed", 6, "rank 2 is gone during all-reduce (sum) of f32[64]: its process ")]
    [InlineData("stopped", 3, "rank 2 is silent during all-reduce (sum) of f32[64]: its process has not been heard of for 3 s; it is stopped, or its machine or the network is down")]
    [InlineData("hangs", 6, "rank 2 stands still during all-reduce (sum) of f32[64]: no kernel, no operation and no declared work for 6 s")]
    [InlineData("leaves", 6, "rank 2 has left during all-reduce (sum) of f32[64]: it ended its part of the group while others go on")]
    [InlineData("disagrees", 6, "rank 2 disagrees during all-reduce (sum) of f32[64]: all-reduce (sum) of f32[64] was expected but it came with all-reduce (sum) of f32[32]; every rank calls the same operations in the same order")]
    [InlineData("null", 6, "Object reference not set to an instance of an object.")]
    public void AMishapEndsAllWithinTenSecondsAndIsNamed(string mishap, int patience, string words)
    {
        var run = MpiRun.Ranks(4, mishap, patience.ToString());
        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains("one of the ranks: " + words, run.Error);
        Assert.DoesNotContain("   at ", run.Error);
        Assert.Contains("now", run.Lines);
        Assert.InRange(run.AfterNow.TotalSeconds, 0, 10);
    }

    [Fact]
    public void ASlowRankIsWaitedFor()
    {
        var run = MpiRun.Ranks(4, "slow", "1.5");
        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Equal(["rank 0 is done", "rank 1 is done", "rank 2 is done", "rank 3 is done"], run.Lines.Where(line => line.Contains("done")).Order());
    }

    [Theory]
    [InlineData("MPICH Version:\\t4.0.2\\nMPICH Release date: ...", "MPICH Version:\t4.0.2 MPICH Release date: ... but Open MPI 4 is needed (Debian: openmpi-bin, libopenmpi3)")]
    [InlineData("Open MPI v1.10.7, package: ...", "Open MPI v1.10.7 but Open MPI 4 is needed (Debian: openmpi-bin, libopenmpi3)")]
    [InlineData("Open MPI v4.9.9, package: ...", "has no ompi_mpi_comm_world")]
    [InlineData("", "has no MPI_Get_library_version, so it is no MPI")]
    public void AnotherMpiIsRefusedByName(string version, string words)
    {
        using var folder = new TempFolder();
        string source = version.Length == 0 ? "int something;"
            : $$"""int MPI_Get_library_version(char* text, int* length) { const char* v = "{{version}}"; int i = 0; for (; v[i]; i++) text[i] = v[i]; *length = i; return 0; }""";
        string message = Assert.Throws<KernelException>(() => MpiNative.Load(StubLibrary.Compile(folder, source, "libmpi.so.40"))).Message;
        Assert.StartsWith("MPI: ", message);
        Assert.EndsWith(words, message);
        Assert.Contains(folder["libmpi.so.40"], message);
    }

    [Fact]
    public void AnAbsentOrEmptyLibraryIsNamed()
    {
        using var folder = new TempFolder();
        string empty = folder.Write("libmpi.so.40", "");
        foreach (string name in (string[])["libmpi-of-no-machine.so.40", empty])
        {
            string message = Assert.Throws<KernelException>(() => MpiNative.Load(name)).Message;
            Assert.StartsWith("MPI: ", message);
            Assert.Contains(name, message);
            Assert.DoesNotContain('\n', message);
        }
    }
}
