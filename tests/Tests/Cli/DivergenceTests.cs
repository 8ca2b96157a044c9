using Xunit;

namespace CudaKernels.Tests;

/// <summary>A rate far too high breaks the numbers; each policy says so and none of them lets NaN into a checkpoint.</summary>
public sealed class DivergenceTests(TinyRun run) : IClassFixture<TinyRun>
{
    private static readonly string[] Explode = ["lr=1e30", "warmup_steps=0", "clip_norm=0", "ema=0.9", "--epochs", "6"];

    [Fact]
    public void StopNamesStepPartAndPictures()
    {
        using var folder = new TempFolder();
        CliProcess.Run([.. run.TrainArguments(folder["run"]), .. Explode]).Fails(1, "step 2", "not finite", ".jpg", "Lower lr");
        AssertFinite(folder["run"]);
    }

    [Theory]
    [InlineData("stop")]
    [InlineData("skip")]
    public void FiniteGradientsThatTakeAWeightOverTheEdgeEndTheRun(string policy)
    {
        using var folder = new TempFolder();
        CliProcess.Run([.. run.TrainArguments(folder["run"]), "lr=3e38", "warmup_steps=0", "ema=0.9", "max_steps=1", $"non_finite={policy}"])
            .Fails(1, "step 1", "a weight after the update is not finite", ".jpg");
        AssertFinite(folder["run"]);
    }

    [Fact]
    public void SkipLeavesStepsOutAndGivesUpAtTheLimit()
    {
        using var folder = new TempFolder();
        var ended = CliProcess.Run([.. run.TrainArguments(folder["run"]), .. Explode, "non_finite=skip"]);
        ended.Fails(1, "10 in a row");
        Assert.Contains("left out", ended.Output);
        AssertFinite(folder["run"]);
    }

    [Fact]
    public void RollbackReturnsToTheCheckpoint()
    {
        using var folder = new TempFolder();
        Assert.Equal(0, CliProcess.Run([.. run.TrainArguments(folder["run"]), "--epochs", "6", "max_steps=4", "ema=0.9"]).ExitCode);
        var ended = CliProcess.Run(["train", "--resume", folder["run"], .. Explode, "non_finite=rollback", "max_steps=10"]);
        Assert.True(ended.ExitCode == 0, ended.Error);
        Assert.Contains("last checkpoint are back", ended.Output);
        AssertFinite(folder["run"]);
    }

    private static void AssertFinite(string folder)
    {
        foreach (string path in Directory.GetFiles(folder, "*.safetensors"))
        {
            var file = GoldenFile.Load(path);
            foreach (string name in file.Names)
                Assert.True(file.F32(name).All(float.IsFinite), $"{path}: {name}");
        }
    }
}
