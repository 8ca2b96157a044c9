using System.Diagnostics;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A run that is stopped and gone on with ends where an unbroken one ends, bit for bit.</summary>
public sealed class ResumeTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Theory]
    [InlineData("ema=0")]
    [InlineData("ema=0.9")]
    [InlineData("optimizer=adamw")]
    public void TwiceNEqualsNStopN(string setting)
    {
        using var folder = new TempFolder();
        Done(CliProcess.Run([.. run.TrainArguments(folder["whole"]), setting, "--epochs", "3", "max_steps=10"]));
        Done(CliProcess.Run([.. run.TrainArguments(folder["parts"]), setting, "--epochs", "3", "max_steps=5"]));
        Done(CliProcess.Run("train", "--resume", folder["parts"], "max_steps=10"));
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], "best.safetensors")).Length, File.ReadAllBytes(Path.Combine(folder["parts"], "best.safetensors")).Length);
        AssertSameTensors(Path.Combine(folder["whole"], "last.safetensors"), Path.Combine(folder["parts"], "last.safetensors"));
        Assert.Equal(Steps(folder["whole"]), Steps(folder["parts"]));
    }

    [Fact]
    public void OneSeedGivesOneResultForAnyNumberOfThreadsAndWorkers()
    {
        using var folder = new TempFolder();
        Done(CliProcess.Run([.. run.TrainArguments(folder["one"]), "max_steps=4", "--threads", "1", "--workers", "1"]));
        Done(CliProcess.Run([.. run.TrainArguments(folder["three"]), "max_steps=4", "--threads", "3", "--workers", "3"]));
        AssertSameTensors(Path.Combine(folder["one"], "last.safetensors"), Path.Combine(folder["three"], "last.safetensors"));
    }

    [Fact]
    public void InterruptSavesAndEndsWith130()
    {
        using var folder = new TempFolder();
        using var process = CliProcess.Start([.. run.TrainArguments(folder["run"]), "--epochs", "500"]);
        string log = Path.Combine(folder["run"], "metrics.jsonl");
        var patience = Stopwatch.StartNew();
        while ((!File.Exists(log) || new FileInfo(log).Length == 0) && patience.Elapsed < TimeSpan.FromSeconds(90))
            Thread.Sleep(100);
        using (var kill = Process.Start("kill", ["-INT", process.Id.ToString()]))
            kill.WaitForExit();
        var ended = CliProcess.Finish(process);
        Assert.Equal(130, ended.ExitCode);
        Assert.Contains("--resume", ended.Output);
        Done(CliProcess.Run("train", "--resume", folder["run"], $"max_steps={File.ReadLines(log).Count() + 1}"));
    }

    [Fact]
    public void ACheckpointOfAnotherModelIsRefused()
    {
        using var folder = new TempFolder();
        Done(CliProcess.Run([.. run.TrainArguments(folder["run"]), "max_steps=1"]));
        CliProcess.Run("train", "--resume", folder["run"], "optimizer=adamw").Fails(1, "last.safetensors", "first_moment");
    }

    private static void Done(CliProcess process) => Assert.True(process.ExitCode == 0, process.Error + process.Output);

    private static string[] Steps(string folder) =>
        [.. File.ReadLines(Path.Combine(folder, "metrics.jsonl")).Where(l => l.Contains("\"type\":\"step\""))];

    private static void AssertSameTensors(string first, string second)
    {
        var a = GoldenFile.Load(first);
        var b = GoldenFile.Load(second);
        Assert.Equal(a.Names.Order(), b.Names.Order());
        foreach (string name in a.Names)
            Assert.True(a.F32(name).AsSpan().SequenceEqual(b.F32(name)), name);
    }
}
