using System.Text.Json;
using CudaKernels.Cli;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Everything together: training steps, a whole run.</summary>
internal static class TrainingRungs
{
    private const int Steps = 200, Settled = 5, Side = 64;

    public static IReadOnlyList<Rung> All { get; } =
    [
        new("memory", $"flat over {Steps} training steps", device => FlatMemory(device, Steps)),
        new("demo", "the demo, at least AP 0.6, AP50 0.9", device => Demo(device, "fp32")),
        new("demo:tf32", "the same on tensor cores, TF32", device => Demo(device, "tf32")),
        new("demo:bf16", "the same on tensor cores, bf16", device => Demo(device, "bf16")),
    ];

    /// <summary>TTFNet on four pictures, over and over: after the first steps the pool finds every block in its cache.</summary>
    public static string FlatMemory(string device, int steps)
    {
        using var gpu = SharedOptions.OpenDevice(device, 0);
        var model = ModelCatalog.Create("ttfnet-nano", OverfitTests.Classes);
        using var set = new ParameterSet(model, gpu, seed: 7);
        using var optimizer = new AdamW(set, weightDecay: 0, clipNorm: 35);
        var (pictures, targets) = OverfitTests.Problem();
        float first = 0, last = 0;
        (long Live, long Owned, long Allocations) settled = default;
        for (int step = 1; step <= steps; step++)
        {
            using (var scope = new StepScope(gpu, record: true))
            {
                set.BeginGradients();
                var losses = model.Loss(ModelInput.Prepare(scope, pictures, Side), targets).Values;
                scope.Backward(losses);
                set.CompleteGradients();
                optimizer.Step(3e-3f);
                last = losses.Sum(loss => Read(gpu, loss));
                if (step == 1)
                    first = last;
            }
            var now = (gpu.Pool.LiveBytes, gpu.Pool.LiveBytes + gpu.Pool.CachedBytes, (gpu.Pool as GpuMemoryPool)?.DriverAllocations ?? 0);
            if (step == Settled)
                settled = now;
            Assert.True(step <= Settled || now == settled, $"step {step}: {now} bytes live, bytes owned and allocations of the driver, {settled} after step {Settled}");
        }
        Assert.True(last < first, $"the loss went from {first} to {last}");
        return FormattableString.Invariant($"{settled.Live >> 10} KiB live and {settled.Owned >> 10} KiB owned in {settled.Allocations} allocations of the driver after step {Settled} and after step {steps}, loss {first:F2} to {last:F2}");
    }

    private static float Read(Device device, Tensor scalar)
    {
        Span<float> value = stackalloc float[1];
        device.Download(scalar.View, value);
        return value[0];
    }

    private static string Demo(string device, string precision)
    {
        if (!device.StartsWith("cuda", StringComparison.Ordinal))
            throw new RungSkipped("takes a GPU: `demo --device` runs it anywhere");
        string folder = Path.Combine(Path.GetTempPath(), $"cudakernels-demo-{Environment.ProcessId}");
        try
        {
            Assert.Equal(CommandLine.Done, CommandLine.Run(["demo", "--device", device, "--precision", precision, "--out", folder]));
            using var metrics = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "metrics.json")));
            double ap = metrics.RootElement.GetProperty("AP").GetDouble(), ap50 = metrics.RootElement.GetProperty("AP50").GetDouble();
            string figures = FormattableString.Invariant($"AP {ap:F3}, AP50 {ap50:F3}");
            Assert.True(ap >= 0.6 && ap50 >= 0.9, figures);
            return figures;
        }
        finally
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
    }
}
