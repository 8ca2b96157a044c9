using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Backbones in recomputed segments: the same bits in less memory, cut where it pays, chosen by what there is room for.</summary>
public sealed class SegmentTests
{
    public static TheoryData<int> Lanes => [1, 4, 8, 16, KernelTest.Gpu];

    [Theory]
    [MemberData(nameof(Lanes))]
    public void RecomputedStagesAreTheBitsOfStoredOnes(int lanes)
    {
        using var test = new KernelTest(lanes);
        foreach (Func<Backbone> make in new Func<Backbone>[] { () => new ResNet(ResNetPlan.Of(18, divisor: 16)), () => new ResNet(ResNetPlan.Of(50, divisor: 16)), () => new DarkNet(divisor: 16) })
        {
            var expected = Train(test.Device, make(), []);
            int steps = make().Steps.Count;
            int[][] cuts = KernelTest.IsGpu(lanes) ? [[1, 2, steps]] : [[1], [2, 4, 5], [.. Enumerable.Range(1, steps)]];
            foreach (int[] segments in cuts)
            {
                var got = Train(test.Device, make(), segments);
                foreach (string name in expected.Keys)
                    Assert.True(expected[name].AsSpan().SequenceEqual(got[name]), $"{name} differs with segments to {string.Join(", ", segments)}");
            }
        }
    }

    [Fact]
    public void TheEstimateIsWhatThePoolCountsButForScratch()
    {
        using var device = new FailingDevice();
        var model = ModelCatalog.Create("ttfnet-nano", ["a", "b"]);
        using var set = new ParameterSet(model, device, seed: 1);
        using var memory = StepMemory.Of(ModelCatalog.Create("ttfnet-nano", ["a", "b"]), batch: 2, imageSize: 256);
        var targets = new Targets([[2, 3, 20, 25], []], [[1], []]);
        foreach (var plan in new[] { memory.Stored(), memory.Plans().MinBy(p => p.PeakBytes)! })
        {
            model.Backbone.Segments = plan.Segments;
            set.BeginGradients();
            device.Pool.ResetPeak();
            long before = device.Pool.LiveBytes;
            using (var scope = new StepScope(device, record: true))
                scope.Backward(model.Loss(ModelInput.Prepare(scope, [new ImageBuffer(256, 256), new ImageBuffer(256, 256)], 256), targets).Values);
            Assert.Equal(plan.PeakBytes, device.Pool.PeakBytes - before);
        }
    }

    [Theory]
    [InlineData("ttfnet-18", 2)]
    [InlineData("ttfnet-34", 2)]
    [InlineData("ttfnet-53", 3.5)]
    public void ThePeakFalls(string name, double times)
    {
        using var memory = StepMemory.Of(ModelCatalog.Create(name, ["a", "b"]), batch: 4, imageSize: 512);
        var stored = memory.Stored();
        Assert.Equal(0, stored.ExtraWork);
        var best = memory.Plans().MinBy(p => p.PeakBytes)!;
        Assert.True(stored.PeakBytes > times * best.PeakBytes, $"{best.PeakBytes} of {stored.PeakBytes} bytes");
        Assert.InRange(best.ExtraWork, 0.5, 1);
    }

    /// <summary>Against every cut there is, for chains of random bytes.</summary>
    [Fact]
    public void CutsAreTheBest()
    {
        var random = new Random(5);
        for (int trial = 0; trial < 60; trial++)
        {
            int steps = random.Next(1, 9), behind = random.Next(0, 3000);
            var chain = Enumerable.Range(0, steps).Select(_ => random.Next(1, 1000)).Select(output => new StepBytes(output + random.Next(0, 4000), output, random.Next(0, 2000))).ToArray();
            int[] outputs = random.Next(2) == 0 ? [] : [random.Next(1, steps + 1)];
            for (int segments = 1; segments <= steps + 1; segments++)
            {
                long[] all = [.. Enumerable.Range(0, 1 << (steps - 1))
                    .Select(mask => Enumerable.Range(1, steps - 1).Where(i => (mask >> (i - 1) & 1) != 0).Append(steps).ToArray())
                    .Where(ends => ends.Length == segments && outputs.All(ends.Contains)).Select(ends => Most(chain, ends, behind))];
                var found = SegmentCuts.Find(chain, outputs, behind, segments);
                Assert.Equal(all.Length == 0, found is null);
                if (found is not null)
                    Assert.InRange(Most(chain, found, behind), all.Min(), 1.01 * all.Min() + 1);
            }
        }

        static long Most(StepBytes[] chain, int[] ends, long behind)
        {
            long kept = 0, most = 0;
            int from = 0;
            foreach (int end in ends)
            {
                most = Math.Max(most, kept + chain[from..end].Sum(s => s.Held) + chain[from..end].Max(s => s.Gradients));
                kept += chain[end - 1].Output;
                from = end;
            }
            return Math.Max(most, kept + behind);
        }
    }

    [Fact]
    public void AutoRecomputesNoMoreThanItMustAndSaysWhy()
    {
        const long gibibyte = 1 << 30;
        Assert.Equal(("recomputes nothing, as asked", []), Choose("none", gibibyte));
        var (sentence, segments) = Choose("auto", 16 * gibibyte);
        Assert.Equal("recomputes nothing: a step of 4 pictures takes about 0.74 GiB, 16.00 GiB are free on shapes only", sentence);
        Assert.Empty(segments);

        var (most, all) = Choose("stages", gibibyte);
        Assert.Matches(@"^recomputes the stem, c2, c3, c4 in \d segments: a step of 4 pictures takes about 0\.74 GiB, then about 0\.3\d GiB$", most);
        Assert.Equal(7, all[^1]);
        var (some, half) = Choose("auto", gibibyte * 3 / 4);
        Assert.Matches(@"^recomputes the stem, c2(, c3)? in \d segments: .* then about 0\.[45]\d GiB; 0\.75 GiB are free on shapes only$", some);
        Assert.InRange(half[^1], 3, 5);
        var (never, same) = Choose("auto", gibibyte / 64);
        Assert.EndsWith("; 0.02 GiB are free on shapes only, which may not suffice; a smaller batch or imgsz would", never);
        Assert.Equal(all, same);

        static (string Sentence, IReadOnlyList<int> Segments) Choose(string mode, long room)
        {
            using var device = new ShapeDevice(room);
            var config = ConfigKeys.Build([new("model", "ttfnet-18", "test"), new("imgsz", "512", "test"), new("batch", "4", "test"), new("recompute", mode, "test")]);
            var model = ModelCatalog.Create(config.Model, [.. Enumerable.Range(0, 80).Select(i => $"{i}")]);
            return (RecomputeChoice.Apply(model, config, RankGroup.Alone(device)), model.Backbone.Segments);
        }
    }

    /// <summary>Two steps; losses over every output, so that each has readers beside the next stage.</summary>
    private static Dictionary<string, float[]> Train(Device device, Backbone backbone, int[] segments)
    {
        using var set = new ParameterSet(backbone, device, seed: 1);
        using var optimizer = new Sgd(set, momentum: 0.9f);
        backbone.Segments = segments;
        var result = new Dictionary<string, float[]>();
        for (int step = 0; step < 2; step++)
        {
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            var features = backbone.Forward(scope.Upload<float>(KernelTest.Random(step, 2 * 32 * 32 * 3), new Shape(2, 32, 32, 3), "images"));
            for (int i = 0; i < features.Length; i++)
                result[$"c{i + 2} of step {step}"] = LayerTest.Read(features[i]);
            scope.Backward([.. features.Select(f => LayerTest.WeightedSum(f))]);
            set.CompleteGradients();
            result[$"gradients of step {step}"] = LayerTest.Read(device, set.Gradients);
            optimizer.Step(0.01f);
        }
        result["weights"] = LayerTest.Read(device, set.Values);
        result["running statistics"] = LayerTest.Read(device, set.Buffers);
        return result;
    }
}
