using System.Diagnostics;
using CudaKernels.Comm;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Several ranks train as one big batch on one device would.</summary>
public sealed class DataParallelTests : IDisposable
{
    private const int Size = 64;

    private readonly TempFolder folder = new();
    private readonly string data;
    private int runs;

    public DataParallelTests() => data = SyntheticGenerator.Write(folder["data"], 46, Size, seed: 5);

    public void Dispose() => folder.Dispose();

    [Fact]
    public void RanksEqualOneBigBatchAndThemselves()
    {
        var one = Train(1);
        var even = Train(4);
        var uneven = Train(4, lengths: [3, 2, 2, 1]);
        foreach (var many in new[] { even, uneven })
        {
            // Euclidean norm of the difference of all parameters over that of the parameters.
            double weights = many.Distance(one, name => !name.StartsWith("state.", StringComparison.Ordinal) && !name.Contains("running_"));
            double statistics = many.Distance(one, name => name.Contains("running_"));
            Assert.True(weights <= 1e-5, $"parameters differ by {weights:G3}");
            Assert.True(statistics <= 1e-5, $"running statistics differ by {statistics:G3}");
            double velocity = many.Distance(one, name => name.Contains("velocity"));
            Assert.True(velocity <= 1e-4, $"velocities differ by {velocity:G3}");
            Assert.True(weights > 0, "sums in another order gave the same bits: are these several ranks?");
            foreach (var (a, b) in many.Steps.Zip(one.Steps))
            {
                Assert.Equal(b.Losses.Select(l => l.Name), a.Losses.Select(l => l.Name));
                Assert.All(a.Losses.Zip(b.Losses), pair => Assert.Equal(pair.Second.Value, pair.First.Value, 1e-4f * pair.Second.Value));
                Assert.Equal(b.GradientNorm, a.GradientNorm, 1e-3f * b.GradientNorm);
            }
        }
        Same(even, Train(4));
        Same(uneven, Train(4, lengths: [3, 2, 2, 1]));
    }

    [Fact]
    public void APartOfTheRanksMayShareBatchNorm()
    {
        var whole = Train(4, null, "max_steps=2");
        var pairs = Train(4, null, "max_steps=2", "bn_group=4");
        var alone = Train(4, null, "max_steps=2", "bn_group=2");
        Assert.Contains(pairs.Notes, n => n.Contains("2 of the 8 pictures of a step; batch norm sees the pictures of 2 ranks"));
        foreach (var (a, b) in new[] { (whole, pairs), (pairs, alone), (whole, alone) })
            Assert.True(a.Distance(b, name => name.Contains("running_mean")) > 1e-3);
        Assert.Contains("bn_group expects a batch that 3 ranks", Assert.Throws<DataException>(() => Train(3, null, "bn_group=4")).Message);
        Assert.Contains("expects 2, 4 or 8 images", Assert.ThrowsAny<Exception>(() => Train(4, null, "bn_group=3")).Message);
    }

    [Fact]
    public void AStoppedRunGoesOnBitForBitAndOnOtherRanksToRounding()
    {
        var whole = Train(2, null, "max_steps=8", "ema=0.9");
        foreach (int ranks in new[] { 2, 3 })
        {
            string run = folder[$"stopped{ranks}"];
            RankRun.Start(2, _ => Config("max_steps=3", "ema=0.9"), run);
            var resumed = RankRun.Resume(ranks, run, "max_steps=8");
            if (ranks == 2)
                Same(whole, resumed);
            else
            {
                Assert.Contains(resumed.Notes, n => n.Contains("the run was on 2 ranks and goes on on 3: the first has 3 of the 8 pictures of a step instead of 4"));
                Assert.InRange(resumed.Distance(whole, name => !name.StartsWith("state.", StringComparison.Ordinal)), 0, 1e-5);
            }
            Assert.Equal($"{ranks}", SafeTensorsFile.Read(Path.Combine(run, "last.safetensors")).Metadata["world_size"]);
        }
    }

    [Fact]
    public void EveryRankFindsWhatOneFinds()
    {
        string run = folder["run"];
        RankRun.Start(1, _ => Config("lr=0.02"), run);
        var dataset = DatasetSource.Open(data, "train");
        var found = new[] { 1, 3, 7 }.Select(Evaluate).ToArray();
        Assert.True(found[0].Detections.Count > 100);
        foreach (var other in found)
        {
            Assert.Equal(found[0].Detections, other.Detections);
            Assert.Equal(CocoMetric.Evaluate(found[0].Truth, found[0].Detections).Stats, CocoMetric.Evaluate(other.Truth, other.Detections).Stats);
        }

        EvaluatedSet Evaluate(int ranks)
        {
            Device[] devices = [.. Enumerable.Range(0, ranks).Select(_ => new CpuDevice(1))];
            var sets = new EvaluatedSet[ranks];
            InProcessRanks.Run(devices, group =>
            {
                var file = ModelFile.Open(Path.Combine(run, "last.safetensors"));
                var model = file.CreateModel();
                using var weights = file.Freeze(model, devices[group.Rank]);
                sets[group.Rank] = Evaluator.Run(model, Size, new RankGroup(group, devices[group.Rank]), dataset, 1, (_, _) => { }, default);
            });
            foreach (var device in devices)
                device.Dispose();
            Assert.All(sets, set => Assert.Equal(sets[0].Detections, set.Detections));
            return sets[0];
        }
    }

    [Fact]
    public void PiecesAddUpToTheBatch()
    {
        var whole = Gradients(1, 1);
        foreach (var (ranks, pieces) in new[] { (1, 3), (1, 8), (2, 3) })
        {
            var parts = Gradients(ranks, pieces);
            double difference = Math.Sqrt(whole.Values.Zip(parts.Values, (a, b) => Math.Pow((double)a - b, 2)).Sum() / whole.Values.Sum(v => (double)v * v));
            Assert.InRange(difference, 1e-12, 1e-5);
            Assert.All(whole.Losses.Zip(parts.Losses), pair => Assert.Equal(pair.First.Value, pair.Second.Value, 1e-5f * pair.First.Value));
        }

        // With fixed statistics of batch norm, which would see the pieces.
        (float[] Values, IReadOnlyList<(string Name, float Value)> Losses) Gradients(int ranks, int pieces)
        {
            Device[] devices = [.. Enumerable.Range(0, ranks).Select(_ => new CpuDevice(1))];
            float[] values = [];
            IReadOnlyList<(string Name, float Value)> losses = [];
            InProcessRanks.Run(devices, group =>
            {
                var rank = new RankGroup(group, devices[group.Rank]);
                var dataset = DatasetSource.Open(data, "train");
                var model = ModelCatalog.Create("ttfnet-nano", dataset.Classes);
                using var set = new ParameterSet(model, rank.Device, seed: 4);
                using var sgd = new Sgd(set, momentum: 0.9f);
                using var gradient = new BatchGradient(model, set, rank, Size, pieces);
                model.Train(false);
                var loader = new BatchLoader(dataset, new BatchLoaderOptions { BatchSize = 8, ImageSize = Size, Augment = Augmentation.Flip, Share = rank.ShareOf(8) });
                foreach (var batch in loader.Epoch(0).Take(4))
                    using (batch)
                    {
                        var computed = gradient.Compute(batch);
                        sgd.Step(0.001f);
                        if (rank.IsFirst)
                            losses = computed.Whole;
                    }
                if (rank.IsFirst)
                    values = set.Gradients.AsFloats().ToArray();
            });
            foreach (var device in devices)
                device.Dispose();
            return (values, losses);
        }
    }

    [Fact]
    public void ARankWithAnotherModelOrOtherDataEndsAllByName()
    {
        string message = Assert.Throws<CollectiveException>(() => RankRun.Start(3, rank => Config(rank == 2 ? "model=ttfnet-18" : "model=ttfnet-nano"), folder["mixed"])).Message;
        Assert.Contains("rank 2 has model: ttfnet-18 but rank 0 has model: ttfnet-nano", message);
        string other = SyntheticGenerator.Write(folder["other"], 46, Size, seed: 6);
        message = Assert.Throws<CollectiveException>(() => RankRun.Start(2, rank => Config() with { Data = rank == 1 ? other : data }, folder["mixed"])).Message;
        Assert.Contains("rank 1 has data: ", message);
        Assert.False(Directory.Exists(folder["mixed"]));
        Assert.Contains("batch expects at least 9, one picture for each of 9 ranks,", Assert.ThrowsAny<Exception>(() => Train(9)).Message);
    }

    [Theory]
    [InlineData("stop", "rank 1 is not finite", 1)]
    [InlineData("skip", "10 in a row", 10)]
    public void NaNOnOneRankIsTheAffairOfAll(string policy, string expected, int steps)
    {
        var start = Stopwatch.GetTimestamp();
        string run = folder["nan"];
        var error = Assert.Throws<TrainingException>(() => RankRun.Start(3, _ => Config("max_steps=0", "non_finite=" + policy), run, prepared: (rank, trainer) =>
        {
            if (rank == 1)
                trainer.Parameters.Named[^1].Parameter.Value.AsFloats().Fill(float.NaN);
        }));
        Assert.Contains(expected, error.Message);
        Assert.Contains("loss part box of rank 1", error.Message);
        Assert.Equal(steps - 1, File.ReadLines(Path.Combine(run, "metrics.jsonl")).Count());
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 60);
    }

    [Fact]
    public void WhatBatchNormSpreadsIsNobodysOwn()
    {
        var error = Assert.Throws<TrainingException>(() => RankRun.Start(3, _ => Config(), folder["spread"], prepared: (rank, trainer) =>
        {
            if (rank == 1)
                trainer.Parameters.Named[0].Parameter.Value.AsFloats().Fill(float.NaN);
        }));
        Assert.Contains("loss part heatmap is not finite; pictures ", error.Message);
        Assert.Contains("and 4 more", error.Message);
    }

    [Fact]
    public void OneRankThatIsAskedToStopStopsAll()
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        string run = folder["asked"];
        var stopped = RankRun.Start(3, _ => Config("max_steps=4"), run, stop: rank => rank == 1 ? stop.Token : default);
        Assert.All(stopped.Outcomes, outcome => Assert.Equal(TrainOutcome.Interrupted, outcome));
        Assert.Contains(stopped.Notes, n => n.StartsWith("stopped at step 0", StringComparison.Ordinal));
        Same(Train(3, null, "max_steps=4"), RankRun.Resume(3, run));
    }

    [Fact]
    public void RecomputedSegmentsDoNotRepeatWhatRanksExchange() =>
        Same(Train(2, null, "max_steps=3", "recompute=none"), Train(2, null, "max_steps=3", "recompute=stages"));

    [Fact]
    public void ARankThatThrowsEndsTheOthersByName()
    {
        var start = Stopwatch.GetTimestamp();
        var error = Assert.Throws<CollectiveException>(() => RankRun.Start(3, _ => Config(), folder["thrown"], prepared: (rank, _) =>
        {
            if (rank == 2)
                throw new InvalidOperationException("the third has had enough");
        }));
        Assert.Equal(2, error.Rank);
        Assert.Contains("the third has had enough", error.Message);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 10);
    }

    [Fact]
    public void APictureThatOneRankCannotReadEndsTheRunBetweenTwoSteps()
    {
        string picture = DatasetSource.Open(data, "train").Read(20).ImagePath;
        File.WriteAllBytes(picture, File.ReadAllBytes(picture)[..200]);
        string run = folder["broken"];
        var error = Assert.ThrowsAny<Exception>(() => RankRun.Start(4, _ => Config("batch=4"), run));
        Assert.Contains(picture, error.Message);
        var saved = SafeTensorsFile.Read(Path.Combine(run, "last.safetensors"));
        Assert.Null(saved.FirstNonFinite());
        int steps = int.Parse(saved.Metadata["step"]);
        Assert.InRange(steps, 1, 10);
        Assert.Equal(steps, File.ReadLines(Path.Combine(run, "metrics.jsonl")).Count());
    }

    private static void Same(RankRun a, RankRun b)
    {
        Assert.Equal(a.Tensors.Keys, b.Tensors.Keys);
        foreach (string name in a.Tensors.Keys)
            Assert.Equal(a.Tensors[name], b.Tensors[name]);
    }

    private RankRun Train(int ranks, int[]? lengths = null, params string[] settings) =>
        RankRun.Start(ranks, _ => Config(settings), folder[$"run{runs++}"], lengths);

    private TrainConfig Config(params string[] settings) => ConfigKeys.Build(
    [
        new("data", data, "data"),
        .. new[] { "model=ttfnet-nano", $"imgsz={Size}", "batch=8", "max_steps=20", "epochs=10", "eval_interval=100", "lr=0.001", "warmup_steps=5", "workers=1" }
            .Concat(settings).Select(ConfigKeys.Parse),
    ]);
}
