using Xunit;

namespace CudaKernels.Tests;

/// <summary>A synthetic data set and a run of two short epochs, made once with the command itself and shared by the tests that read it.</summary>
public sealed class TinyRun : IDisposable
{
    private readonly TempFolder folder = new();

    public TinyRun()
    {
        Expect(CliProcess.Run("data", "synth", "--out", folder["data"], "--images", "20", "--imgsz", "96", "--seed", "3"));
        Data = Path.Combine(folder["data"], "data.yaml");
        Run = folder["run"];
        Expect(CliProcess.Run([.. TrainArguments(Run), "--epochs", "2"]));
    }

    public string Data { get; }

    public string Run { get; }

    public string Best => Path.Combine(Run, "best.safetensors");

    public string[] TrainArguments(string output, string? data = null) =>
        ["train", "--data", data ?? Data, "--model", "ttfnet-nano", "--imgsz", "96", "--batch", "4", "--out", output];

    public void Dispose() => folder.Dispose();

    private static void Expect(CliProcess process) => Assert.True(process.ExitCode == 0, process.Error + process.Output);
}
