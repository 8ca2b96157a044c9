using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The same trainer, model and evaluation on the ILGPU path: nothing above the kernels knows the difference.</summary>
public sealed class GpuTrainingTests(TinyRun run) : IClassFixture<TinyRun>, IDisposable
{
    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    /// <summary>Sums differ in their order, so losses part in the last digits; the same device gives the same bits.</summary>
    [Fact]
    public void TrainsAsTheProcessorDoesAndRepeatsBitForBit()
    {
        List<StepReport> expected = [], got = [], again = [];
        using (var cpu = new CpuDevice(2))
            Train(cpu, "cpu", expected);
        var gpu = GpuUnderTest.Enter();
        try
        {
            Train(gpu, "gpu", got);
            Train(gpu, "again", again);
        }
        finally
        {
            GpuUnderTest.Leave();
        }
        Assert.Equal(3, expected.Count);
        for (int i = 0; i < expected.Count; i++)
        {
            Assert.Equal(expected[i].Losses.Select(l => l.Name), got[i].Losses.Select(l => l.Name));
            foreach (var (a, b) in expected[i].Losses.Zip(got[i].Losses))
                Assert.Equal(a.Value, b.Value, 1e-4f * Math.Abs(a.Value));
            Assert.Equal(expected[i].GradientNorm, got[i].GradientNorm, 1e-3f * expected[i].GradientNorm);
        }
        foreach (string name in new[] { "last.safetensors", "metrics.jsonl", "metrics.json" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["gpu"], name)), File.ReadAllBytes(Path.Combine(folder["again"], name)));
    }

    /// <summary>A checkpoint of one device is one of every device: the same weights find the same objects.</summary>
    [Fact]
    public void DetectsWhatTheProcessorDetects()
    {
        var picture = ImageFile.Load(DatasetSource.Open(run.Data, "val").Read(0).ImagePath);
        var model = ModelFile.Open(run.Best);
        RawDetection[] Find(Device device)
        {
            var network = model.CreateModel();
            using var weights = model.Freeze(network, device);
            using var scope = new StepScope(device, record: false);
            return network.Detect(ModelInput.Prepare(scope, [picture], model.ImageSize))[0];
        }
        using var cpu = new CpuDevice(2);
        var expected = Find(cpu);
        var gpu = GpuUnderTest.Enter();
        RawDetection[] got;
        try
        {
            got = Find(gpu);
        }
        finally
        {
            GpuUnderTest.Leave();
        }
        Assert.NotEmpty(expected);
        Assert.Equal(expected.Length, got.Length);
        foreach (var (a, b) in expected.Zip(got))
            Assert.Equal(a.Score, b.Score, 1e-4f);
    }

    private void Train(Device device, string name, List<StepReport> steps)
    {
        var config = ConfigKeys.Build([new("data", run.Data, "data"),
            .. new[] { "model=ttfnet-nano", "imgsz=64", "batch=2", "max_steps=3", "seed=7" }.Select(ConfigKeys.Parse)]);
        using var trainer = Trainer.Start(config, folder[name], device, new Steps(steps));
        Assert.Equal(TrainOutcome.Finished, trainer.Run(default));
    }

    private sealed class Steps(List<StepReport> reports) : ITrainObserver
    {
        public void Note(string sentence)
        {
        }

        public void Stepped(StepReport report) => reports.Add(report);

        public void Evaluating(int done, int total)
        {
        }

        public void Evaluated(EvaluationReport report)
        {
        }
    }
}
