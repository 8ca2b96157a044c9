using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Starting, stopping and going on with a run at the awkward moments.</summary>
public sealed class TrainerTests(TinyRun run) : IClassFixture<TinyRun>, IDisposable
{
    private readonly TempFolder folder = new();
    private readonly CpuDevice device = new(2);

    public void Dispose()
    {
        device.Dispose();
        folder.Dispose();
    }

    /// <summary>Asks the run to stop as soon as it evaluates.</summary>
    private sealed class Watcher(CancellationTokenSource? stop = null) : ITrainObserver
    {
        public void Note(string sentence)
        {
        }

        public void Stepped(StepReport report)
        {
        }

        public void Evaluating(int done, int total) => stop?.Cancel();

        public void Evaluated(EvaluationReport report)
        {
        }
    }

    [Fact]
    public void ARunStoppedInItsEvaluationMakesUpForItWhenResumed()
    {
        using (var whole = Trainer.Start(Config("epochs=1"), folder["whole"], device, new Watcher()))
            Assert.Equal(TrainOutcome.Finished, whole.Run(default));

        using var stop = new CancellationTokenSource();
        using (var first = Trainer.Start(Config("epochs=1"), folder["parts"], device, new Watcher(stop)))
            Assert.Equal(TrainOutcome.Interrupted, first.Run(stop.Token));
        Assert.False(File.Exists(Path.Combine(folder["parts"], "best.safetensors")));
        using (var second = Trainer.Resume(folder["parts"], [], device, new Watcher()))
            Assert.Equal(TrainOutcome.Finished, second.Run(default));

        foreach (string name in new[] { "best.safetensors", "last.safetensors", "metrics.json", "metrics.jsonl" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], name)), File.ReadAllBytes(Path.Combine(folder["parts"], name)));
    }

    [Fact]
    public void ARunThatRecomputesLearnsTheSameBits()
    {
        foreach (string mode in new[] { "none", "stages" })
        {
            using var trainer = Trainer.Start(Config("epochs=1", "ema=0.9", $"recompute={mode}"), folder[mode], device, new Watcher());
            Assert.Equal(TrainOutcome.Finished, trainer.Run(default));
        }
        foreach (string name in new[] { "best.safetensors", "last.safetensors", "metrics.json", "metrics.jsonl" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["none"], name)), File.ReadAllBytes(Path.Combine(folder["stages"], name)));
    }

    [Fact]
    public void ARunKilledBeforeItsFirstCheckpointBeginsAgain()
    {
        using (var whole = Trainer.Start(Config("epochs=1"), folder["whole"], device, new Watcher()))
            whole.Run(default);
        Trainer.Start(Config("epochs=1"), folder["killed"], device, new Watcher()).Dispose();
        File.WriteAllText(Path.Combine(folder["killed"], "metrics.jsonl"), """{"type":"step","epoch":0,"step":1,"lr":0.1,"gradient_norm":1,"loss":1}""" + "\n");
        using (var again = Trainer.Resume(folder["killed"], [], device, new Watcher()))
            again.Run(default);
        foreach (string name in new[] { "last.safetensors", "metrics.jsonl" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["whole"], name)), File.ReadAllBytes(Path.Combine(folder["killed"], name)));

        File.Delete(Path.Combine(folder["whole"], "last.safetensors"));
        Assert.Contains("last.safetensors is missing", Assert.Throws<DataException>(() => Trainer.Resume(folder["whole"], [], device, new Watcher())).Message);
    }

    [Fact]
    public void ASettingThatDoesNotFitTheDataLeavesNoRunBehind()
    {
        string path = folder["run"];
        Assert.Contains("fewer than one batch", Assert.Throws<DataException>(() => Trainer.Start(Config("batch=1000"), path, device, new Watcher())).Message);
        Assert.False(Directory.Exists(path));
        using var trainer = Trainer.Start(Config("batch=2"), path, device, new Watcher());
        Assert.True(File.Exists(trainer.Folder.Config));
    }

    [Fact]
    public void AProfileAccountsForARun()
    {
        device.Profiler = new Profiler();
        using (var trainer = Trainer.Start(Config("epochs=1"), folder["profiled"], device, new Watcher()))
            trainer.Run(default);
        device.Profiler.Stop();
        Assert.Equal(
            ["checkpoints", "evaluation: curves and pictures", "evaluation: metric", "evaluation: pictures and boxes", "log and progress", "picture of the first batch", "run folder", "waiting for pictures"],
            device.Profiler.Rows.Where(r => r.OnHost).Select(r => r.Name).Order(StringComparer.Ordinal));
        Assert.All(device.Profiler.Rows, r => Assert.True(r.Seconds >= 0, $"{r}"));
        Assert.InRange(device.Profiler.AccountedSeconds / device.Profiler.WallSeconds, 0.5, 1); // what is left is mostly the compiler's
    }

    [Fact]
    public void ACheckpointOfAnotherClassListOrWithNaNIsRefused()
    {
        Directory.CreateDirectory(folder["run"]);
        File.Copy(Path.Combine(run.Run, "config.yaml"), Path.Combine(folder["run"], "config.yaml"));
        var good = SafeTensorsFile.Read(Path.Combine(run.Run, "last.safetensors"));

        string[] classes = [.. new ModelFile(good.Path, good).Classes.Reverse()];
        Save(good.Tensors, new(good.Metadata) { ["classes"] = System.Text.Json.JsonSerializer.Serialize(classes) });
        Assert.Contains($"class 0 is {classes[0]} but in the data it is {classes[^1]}", Refusal());

        var holed = good.Tensors.Select(t => t.Name == "state.optimizer.velocity.heatmap.0.bias"
            ? new SafeTensor(t.Name, t.Name, "F32", t.Shape, Enumerable.Repeat((byte)255, t.Data.Length).ToArray()) : t);
        Save(holed, new(good.Metadata));
        Assert.Contains("state.optimizer.velocity.heatmap.0.bias holds NaN", Refusal());

        void Save(IEnumerable<SafeTensor> tensors, Dictionary<string, string> metadata) => SafeTensorsFile.Write(
            Path.Combine(folder["run"], "last.safetensors"), tensors.Select(t => (t.Name, t.Shape, new ReadOnlyMemory<float>(t.ToFloats()))), metadata);

        string Refusal() => Assert.Throws<DataException>(() => Trainer.Resume(folder["run"], [], device, new Watcher())).Message;
    }

    private TrainConfig Config(params string[] settings) => ConfigKeys.Build(
        [new("data", run.Data, "data"), .. new[] { "model=ttfnet-nano", "imgsz=96", "batch=4" }.Concat(settings).Select(ConfigKeys.Parse)]);
}
