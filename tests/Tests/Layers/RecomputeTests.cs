using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A network with recomputed segments is the network without them, bit for bit, in less memory.</summary>
public sealed class RecomputeTests
{
    /// <summary>How a segment is run: as it stands, or recomputed.</summary>
    private delegate Tensor Run(Tensor x, Func<Tensor, Tensor> segment);

    private static readonly Run Stored = (x, segment) => segment(x);

    /// <summary>Every vector width and OpenCL; the kernels themselves are proven elsewhere.</summary>
    public static TheoryData<int> Lanes => [1, 4, 8, 16, KernelTest.Gpu];

    [Theory]
    [MemberData(nameof(Lanes))]
    public void GradientsStatisticsAndWeightsAreTheBitsOfTheStoredNetwork(int lanes)
    {
        using var test = new KernelTest(lanes);
        var expected = Train(test.Device, Stored);
        var got = Train(test.Device, Recompute.Run);
        Assert.Equal(expected.Keys, got.Keys);
        foreach (string name in expected.Keys)
            Assert.True(expected[name].AsSpan().SequenceEqual(got[name]), $"{name} differs");
        Assert.Contains(expected["gradient of x"], g => g != 0);
        Assert.Contains(expected["shared.bn.running_mean"], m => m != 0);
    }

    [Fact]
    public void ASegmentInsideAnotherIsPartOfIt()
    {
        using var device = new CpuDevice(2);
        var expected = Train(device, Stored);
        var got = Train(device, (x, segment) => Recompute.Run(x, outer => Recompute.Run(outer, segment)));
        foreach (string name in expected.Keys)
            Assert.Equal(expected[name], got[name]);
    }

    [Fact]
    public void WithoutATapeASegmentRunsOnce()
    {
        using var device = new CpuDevice(2);
        using var scope = new StepScope(device, record: false);
        int runs = 0;
        var x = scope.Upload<float>([1, -2, 3], new Shape(3), "x");
        Assert.Equal([1, 0, 3], LayerTest.Read(Recompute.Run(x, t =>
        {
            runs++;
            return Functional.Relu(t);
        })));
        Assert.Equal(1, runs);
    }

    /// <summary>Frozen norms are folded into convolutions where nothing is differentiated, with other bits; a segment's first run must not do that.</summary>
    [Fact]
    public void FrozenNormsInASegmentAreAsInAStoredNetwork()
    {
        using var device = new CpuDevice(2);
        var net = new ConvBlock(4, 4, 3, activation: Activation.Relu);
        using var set = new ParameterSet(net, device, seed: 1);
        device.Upload<float>(KernelTest.Random(5, set.Buffers.Length).Select(v => v * v + 0.1f).ToArray(), set.Buffers);
        net.Train(false);
        Assert.Equal(Output(Stored), Output(Recompute.Run));

        float[] Output(Run run)
        {
            using var scope = new StepScope(device, record: true);
            return LayerTest.Read(run(LayerTest.Leaf(scope, KernelTest.Random(1, 2 * 6 * 6 * 4), 2, 6, 6, 4), net.Forward));
        }
    }

    [Fact]
    public void OfASegmentOnlyInputOutputAndStatisticsAreKeptAndItsMemoryComesBackOnTheWay()
    {
        using var device = new CpuDevice(2);
        ConvBlock[] blocks = [.. Enumerable.Range(0, 16).Select(_ => new ConvBlock(8, 8, 3, activation: Activation.Relu))];
        using var set = new ParameterSet(new LayerTest.Holder([.. blocks.Select((b, i) => ($"{i}", (Module)b))]), device, seed: 1);
        long map = 4 * 32 * 32 * 8 * sizeof(float), before = device.Pool.LiveBytes;
        const long statistics = 64, loss = 64;

        var (held, peak) = Bytes(0);
        Assert.Equal((1 + 2 * 16) * map + 2 * 16 * statistics + loss, held);
        (held, long halved) = Bytes(4);
        Assert.Equal((1 + 4) * map + 2 * 16 * statistics + loss, held);
        Assert.True(halved < 0.5 * peak, $"{halved} of {peak} bytes");
        // Five maps kept less the one that is made again, eight of the segment at work, its gradient; beyond that scratch of kernels.
        Assert.InRange(halved, 13 * map, 17 * map);

        (long Held, long Peak) Bytes(int segments)
        {
            set.BeginGradients();
            device.Pool.ResetPeak();
            long after;
            using (var scope = new StepScope(device, record: true))
            {
                var x = LayerTest.Leaf(scope, KernelTest.Random(1, map / sizeof(float)), 4, 32, 32, 8);
                if (segments == 0)
                    x = blocks.Aggregate(x, (t, block) => block.Forward(t));
                else
                    foreach (var part in blocks.Chunk(blocks.Length / segments))
                        x = Recompute.Run(x, start => part.Aggregate(start, (t, block) => block.Forward(t)));
                var sum = LayerTest.WeightedSum(x);
                after = device.Pool.LiveBytes - before;
                scope.Backward(sum);
                // The leaf, its gradient, the loss.
                Assert.Equal(2 * map + loss, device.Pool.LiveBytes - before);
            }
            Assert.Equal(before, device.Pool.LiveBytes);
            return (after, device.Pool.PeakBytes - before);
        }
    }

    [Fact]
    public void RandomDrawsAndRunningStatisticsHappenOnce()
    {
        using var device = new CpuDevice(2);
        var net = new LayerTest.Holder();
        using var set = new ParameterSet(net, device, seed: 1);
        var (expected, draws) = Gradient(Stored);
        Assert.Equal(1UL, draws);
        var (got, again) = Gradient(Recompute.Run);
        Assert.Equal(1UL, again);
        Assert.Equal(expected, got);
        Assert.Contains(0f, got);

        (float[] Gradient, ulong Draws) Gradient(Run run)
        {
            ulong counter = 0;
            using var scope = new StepScope(device, record: true);
            var x = LayerTest.Leaf(scope, KernelTest.Random(1, 64), 64);
            scope.Backward(LayerTest.WeightedSum(run(x, t => Dropped(Functional.Scale(t, 2)))));
            return (LayerTest.GradientOf(x), counter);

            // max(x·r, 0) with r = ±1 drawn anew at every call.
            Tensor Dropped(Tensor t)
            {
                var drawn = t.Scope.Once(() =>
                {
                    var random = new CounterRandom(3, ++counter);
                    return [t.Scope.Upload<float>([.. Enumerable.Range(0, 64).Select(i => random.At((ulong)i).Uniform() < 0.5 ? -9f : 9f)], t.Shape, "draw")];
                });
                return Functional.Relu(Functional.Add(t, drawn[0]));
            }
        }
    }

    /// <summary>A second rank that always has what the first has; keeps a diary.</summary>
    private sealed class Twin(List<string> calls) : INormGroup
    {
        public int Size => 2;

        public void Gather(TensorView part, TensorView all)
        {
            calls.Add("gather");
            part.Buffer.Device.Copy(part, all.Slice(0, part.Shape));
            part.Buffer.Device.Copy(part, all.Slice(part.Length, part.Shape));
        }

        public void Sum(TensorView view)
        {
            calls.Add("sum");
            view.Buffer.Device.Run(new Scale(view, view, 2));
        }
    }

    [Fact]
    public void RanksMeetNoMoreOftenThanInAStoredNetwork()
    {
        using var device = new CpuDevice(2);
        BatchNorm2d[] norms = [new(4), new(4)];
        using var set = new ParameterSet(new LayerTest.Holder(("0", norms[0]), ("1", norms[1])), device, seed: 1);
        var (expected, calls) = Gradients(Stored);
        Assert.Equal(["gather", "gather", "sum", "sum"], calls);
        var (got, again) = Gradients(Recompute.Run);
        Assert.Equal(calls, again);
        Assert.Equal(expected, got);

        (float[] Gradients, List<string> Calls) Gradients(Run run)
        {
            List<string> calls = [];
            foreach (var norm in norms)
                norm.Group = new Twin(calls);
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            var x = LayerTest.Leaf(scope, KernelTest.Random(1, 2 * 3 * 3 * 4), 2, 3, 3, 4);
            scope.Backward(LayerTest.WeightedSum(run(x, t => norms[1].Forward(norms[0].Forward(t, Activation.Relu)))));
            return ([.. LayerTest.Read(device, set.Gradients), .. LayerTest.GradientOf(x)], calls);
        }
    }

    [Fact]
    public void AParameterIsCompleteWhenItsFirstSegmentIsThrough()
    {
        using var device = new CpuDevice(2);
        ConvBlock shared = new(2, 2, 1), own = new(2, 2, 1);
        using var set = new ParameterSet(new LayerTest.Holder(("shared", shared), ("own", own)), device, seed: 1);
        set.BeginGradients();
        using var scope = new StepScope(device, record: true);
        var x = scope.Upload<float>(KernelTest.Random(1, 36), new Shape(2, 3, 3, 2), "images");
        x = Recompute.Run(x, shared.Forward);
        x = Recompute.Run(x, t => shared.Forward(own.Forward(t)));
        List<string> complete = [];
        scope.Backward([LayerTest.WeightedSum(x)], p => complete.Add(p.Name));
        Assert.Equal(["own.bn.bias", "own.bn.weight", "own.conv.weight"], complete.Take(3).Order(StringComparer.Ordinal));
        Assert.Equal(["shared.bn.bias", "shared.bn.weight", "shared.conv.weight"], complete.Skip(3).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void WhatIsNoSegmentIsRefusedAndNothingLeaks()
    {
        using var device = new CpuDevice(2);
        var block = new ConvBlock(2, 2, 3);
        using var set = new ParameterSet(block, device, seed: 1);
        long before = device.Pool.LiveBytes;
        Refused("ends in the loss", (x, t) => LayerTest.WeightedSum(t));
        Refused("returned input f32[1,4,4,2], which was there before", (x, t) => t);
        Refused("returned input f32[1,4,4,2], which was there before", (x, t) => x);
        Refused("belongs to another step scope", (x, t) => Functional.Add(block.Forward(t), x));
        int run = 0;
        Refused("must do the same both times", (x, t) => ++run == 1 ? Functional.Relu(t) : block.Forward(t));
        run = 0;
        Refused("second run fails", (x, t) => ++run == 1 ? block.Forward(t) : throw new TensorException("second run fails"));

        void Refused(string part, Func<Tensor, Tensor, Tensor> segment)
        {
            set.BeginGradients();
            using (var scope = new StepScope(device, record: true))
            {
                var x = LayerTest.Leaf(scope, KernelTest.Random(1, 32), 1, 4, 4, 2);
                Assert.Contains(part, Assert.Throws<TensorException>(() =>
                    scope.Backward(LayerTest.WeightedSum(Functional.Add(Recompute.Run(x, t => segment(x, t)), x)))).Message);
            }
            Assert.Equal(before, device.Pool.LiveBytes);
        }
    }

    /// <summary>Three steps of a net with a block shared by three segments, residual inputs, and tensors that segments and others read.</summary>
    private static Dictionary<string, float[]> Train(Device device, Run run)
    {
        var shared = new ConvBlock(8, 8, 3, activation: Activation.Relu);
        var conv = new Conv2d(8, 8, 3, bias: false);
        var norm = new BatchNorm2d(8);
        var group = new GroupNorm(2, 8);
        var deform = new ModulatedDeformConv2d(8, 8, 3);
        using var set = new ParameterSet(new LayerTest.Holder(("shared", shared), ("conv", conv), ("norm", norm), ("group", group), ("deform", deform)), device, seed: 1);
        using var optimizer = new Sgd(set, momentum: 0.9f, weightDecay: 1e-4f);
        var result = new Dictionary<string, float[]>();
        for (int step = 0; step < 3; step++)
        {
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            var x = LayerTest.Leaf(scope, KernelTest.Random(step, 2 * 9 * 7 * 8), 2, 9, 7, 8);
            var a = run(x, shared.Forward);
            var b = run(a, t => conv.Forward(shared.Forward(t), norm, Activation.Relu, residual: t));
            var c = run(Functional.Add(b, a), t => Functional.Add(Functional.MaxPool(t, Window.Square(3, 1, 1)), group.Forward(deform.Forward(t), Activation.Relu)));
            var images = scope.Upload<float>(KernelTest.Random(99, x.Shape.Length), x.Shape, "images"); // takes no gradient
            var d = run(images, t => Functional.Relu(shared.Forward(t)));
            var y = Functional.Add(Functional.Add(c, x), Functional.Add(d, a));
            result[$"output {step}"] = LayerTest.Read(y);
            scope.Backward(LayerTest.WeightedSum(y));
            set.CompleteGradients();
            result["gradient of x"] = LayerTest.GradientOf(x);
            result[$"gradients {step}"] = LayerTest.Read(device, set.Gradients);
            optimizer.Step(0.1f);
        }
        result["weights"] = LayerTest.Read(device, set.Values);
        foreach (var (name, buffer) in set.NamedBuffers)
            result[name] = LayerTest.Read(device, buffer.Value);
        return result;
    }
}
