using System.Diagnostics;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Training on several ranks as a user starts it: threads by --ranks, processes by mpirun.</summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class RankProcessTests : IDisposable
{
    private const int Model = 3, Device = 5; // places in the arguments

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private readonly TempFolder folder = new();
    private readonly string data;

    public RankProcessTests() => data = SyntheticGenerator.Write(folder["data"], 46, 64, seed: 5);

    public void Dispose() => folder.Dispose();

    [Fact]
    public void ProcessesEqualThreadsBitForBit()
    {
        var processes = MpiRun.Start(4, CliProcess.Program, [.. Arguments("processes", "max_steps=20", "ema=0.9"), "--comm", "mpi"]);
        Assert.True(processes.ExitCode == 0, processes.Error);
        Assert.Single(processes.Lines, line => line.Contains("4 ranks, the first with 2 of the 8 pictures of a step; batch norm sees the pictures of 4 ranks at a time"));
        Assert.Single(processes.Lines, line => line.Contains("step 20/20"));
        var threads = CliProcess.Run([.. Arguments("threads", "max_steps=20", "ema=0.9"), "--ranks", "4"]);
        Assert.True(threads.ExitCode == 0, threads.Error);
        foreach (string name in new[] { "last.safetensors", "best.safetensors", "metrics.jsonl", "metrics.json" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["threads"], name)), File.ReadAllBytes(Path.Combine(folder["processes"], name)));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(0)]
    public void AKilledProcessEndsTheOthers(int victim)
    {
        using var run = MpiRun.Begin(4, CliProcess.Program, [.. Arguments("killed", "epochs=100000", "eval_interval=100000"), "--comm", "mpi"], grace: 6); // the usual second is too short for a word on a busy machine
        var error = run.StandardError.ReadToEndAsync();
        var output = run.StandardOutput.ReadToEndAsync();
        string last = Path.Combine(folder["killed"], "last.safetensors");
        Assert.True(SpinWait.SpinUntil(() => File.Exists(last) || run.HasExited, TimeSpan.FromMinutes(2)), "no checkpoint after two minutes");
        Assert.False(run.HasExited, error.IsCompleted ? error.Result : "");
        Rank(run, victim).Kill();
        long start = Stopwatch.GetTimestamp();
        Assert.True(run.WaitForExit(TimeSpan.FromMinutes(1)), "the others go on");
        Assert.InRange(Stopwatch.GetElapsedTime(start), TimeSpan.Zero, Limit);
        Assert.NotEqual(0, run.ExitCode);
        Assert.True(error.Result.Contains($"cudakernels: rank {victim} ") && error.Result.Contains(" during "), error.Result);
        Assert.DoesNotContain("   at ", error.Result);
        Assert.Null(SafeTensorsFile.Read(last).FirstNonFinite());
        Assert.Contains("step 1/", output.Result);
    }

    [Fact]
    public void AProcessWithAnotherModelIsNamed()
    {
        string[] own = [.. Arguments("mixed"), "--comm", "mpi"], other = [.. own, "--model", "ttfnet-18"];
        var run = MpiRun.Start(2, CliProcess.Program, [.. own, ":", "-np", "1", "dotnet", CliProcess.Program, .. other.Where((_, i) => i is not (Model or Model + 1))]);
        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains("cudakernels: rank 2 has model: ttfnet-18 but rank 0 has model: ttfnet-nano", run.Error);
        Assert.False(Directory.Exists(folder["mixed"]));
    }

    [Theory]
    [InlineData("--ranks expects at least 1 but is 0", "--ranks", "0")]
    [InlineData("a device for each of 2 ranks, such as cuda:0,cuda:1, but is opencl:0", "--ranks", "2", "--device", "opencl:0")]
    [InlineData("names 2 devices for 3 ranks of this machine; name one for each", "--ranks", "3", "--device", "cpu,cpu")]
    [InlineData("--device expects auto, cpu, cuda:N", "--device", "cpu,gpu")]
    [InlineData("--comm expects inprocess or mpi or nccl", "--comm", "smoke")]
    [InlineData("--comm nccl needs CUDA devices but rank 0 computes on cpu", "--comm", "nccl", "--device", "cpu")]
    public void WrongUseIsSaidInALine(string expected, params string[] options) =>
        CliProcess.Run([.. Arguments("wrong").Where((_, i) => i is not (Device or Device + 1)), .. options]).Fails(2, expected);

    [Fact]
    public void TooSmallABatchIsSaidInALine() =>
        CliProcess.Run([.. Arguments("small"), "--ranks", "9"]).Fails(1, "batch expects at least 9, one picture for each of 9 ranks, but is 8");

    private string[] Arguments(string output, params string[] settings) =>
        ["train", "--data", data, "--model", "ttfnet-nano", "--device", "cpu", "--imgsz", "64", "--batch", "8", "--out", folder[output], "--threads", "4", "lr=0.001", "warmup_steps=5", .. settings];

    /// <summary>The process that mpirun started as that rank.</summary>
    private static Process Rank(Process run, int rank) => Process.GetProcesses().Single(process =>
    {
        try
        {
            return File.ReadAllText($"/proc/{process.Id}/stat").Split(") ")[1].Split(' ')[1] == $"{run.Id}"
                && File.ReadAllText($"/proc/{process.Id}/environ").Split('\0').Contains($"OMPI_COMM_WORLD_RANK={rank}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    });
}
