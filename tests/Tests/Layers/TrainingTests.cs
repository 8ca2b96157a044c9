using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A small net through whole training steps: memory, determinism, progress.</summary>
public class TrainingTests
{
    private const int Batch = 4, Side = 12;

    /// <summary>Every kind of layer a TTFNet has: strided conv-bn-relu, residual, pooling, deformable convolution, resize, two heads.</summary>
    private sealed class Net : Module
    {
        private readonly Conv2d stem, inner, shortcut, heat, sides;
        private readonly BatchNorm2d norm1, norm2, norm3;
        private readonly ModulatedDeformConv2d deform;

        public Net()
        {
            stem = Add("conv1", new Conv2d(3, 8, 3, bias: false));
            norm1 = Add("bn1", new BatchNorm2d(8));
            inner = Add("conv2", new Conv2d(8, 8, 3, bias: false));
            norm2 = Add("bn2", new BatchNorm2d(8));
            deform = Add("deform", new ModulatedDeformConv2d(8, 8, 3));
            norm3 = Add("bn3", new BatchNorm2d(8));
            shortcut = Add("shortcut", new Conv2d(8, 8, 3, activation: Activation.Relu));
            heat = Add("heat", new Conv2d(8, 2, 1, init: Init.Normal(0.01f), biasInit: Init.LogitOf(0.1f)));
            sides = Add("sides", new Conv2d(8, 4, 1, activation: Activation.Relu, init: Init.Normal(0.1f), biasInit: Init.Constant(0.2f)));
        }

        public (Tensor Heat, Tensor Sides) Forward(Tensor images)
        {
            var x = norm1.Forward(stem.Forward(images), Activation.Relu);
            x = norm2.Forward(inner.Forward(x), Activation.Relu, residual: x);
            var low = Functional.MaxPool(x, Window.Square(3, 2, 1));
            var y = norm3.Forward(deform.Forward(low), Activation.Relu);
            y = Functional.Add(Functional.UpsampleBilinear(y, Side, Side, alignCorners: true), shortcut.Forward(x));
            return (heat.Forward(y), Functional.Scale(sides.Forward(y), 16));
        }
    }

    private sealed record Outcome(float[] Values, float[] Buffers, List<float> Losses, List<long> LiveBytes, long Allocated);

    private static Outcome Train(int steps, int threads, ulong seed = 1, VectorWidth? width = null)
    {
        using var device = new CpuDevice(threads, width);
        var net = new Net();
        using var set = new ParameterSet(net, device, seed, [new GroupRule(@"(bn|gn)\d*.(weight|bias)", 1, 1), new GroupRule("bias$", 2, 0)]);
        using var optimizer = new Sgd(set, momentum: 0.9f, weightDecay: 4e-4f, clipNorm: 35);
        using var ema = new Ema(set, 0.99);
        var schedule = new Schedule(0.02, RateDecay.Steps([150]), Warmup.Linear(10, 0.2));
        int cells = Batch * Side * Side;
        var images = KernelTest.Random(1, cells * 3);
        var heat = new float[cells * 2];
        float[] boxes = new float[cells * 4], weights = new float[cells];
        for (int i = 0; i < cells; i++)
        {
            int x = i % Side * 4, y = i / Side % Side * 4;
            heat[2 * i] = images[3 * i] > 0.95f ? 1 : MathF.Abs(images[3 * i]) * 0.5f;
            new[] { x - 9f, y - 6f, x + 11f, y + 7f }.CopyTo(boxes, 4 * i);
            weights[i] = images[3 * i] > 0.5f ? 1 : 0;
        }
        var losses = new List<float>();
        var live = new List<long>();
        long allocated = 0;
        for (int step = 0; step < steps; step++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            set.BeginGradients();
            using (var scope = new StepScope(device, record: true))
            {
                var (logits, sides) = net.Forward(scope.Upload<float>(images, new Shape(Batch, Side, Side, 3), "images"));
                var heatLoss = Losses.HeatmapFocal(logits, scope.Upload<float>(heat, logits.Shape, "heat"));
                var boxLoss = Losses.TtfBox(sides, scope.Upload<float>(boxes, sides.Shape, "boxes"),
                    scope.Upload<float>(weights, new Shape(Batch, Side, Side), "weights"), stride: 4, weight: 5);
                scope.Backward(heatLoss, boxLoss);
                set.CompleteGradients();
                optimizer.Step(schedule.Rate(step));
                ema.Update();
                losses.Add(heatLoss.View.AsFloats()[0] + boxLoss.View.AsFloats()[0]);
            }
            live.Add(device.Pool.LiveBytes);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }
        Assert.True(optimizer.LastFinite);
        return new(LayerTest.Read(device, set.Values), LayerTest.Read(device, set.Buffers), losses, live, allocated);
    }

    [Fact]
    public void TwoHundredStepsLearnAndLeaveThePoolFlat()
    {
        var run = Train(200, threads: 1);
        Assert.All(run.LiveBytes, bytes => Assert.Equal(run.LiveBytes[0], bytes));
        Assert.True(run.Losses[^1] < 0.5f * run.Losses[0], $"loss went from {run.Losses[0]} to {run.Losses[^1]}");
        Assert.True(run.Allocated < 32 << 10, $"a step allocates {run.Allocated} managed bytes");
    }

    [Fact]
    public void OneSeedGivesOneResult()
    {
        var first = Train(12, threads: 2);
        var second = Train(12, threads: 2);
        Assert.Equal(first.Values, second.Values);
        Assert.Equal(first.Buffers, second.Buffers);
        Assert.NotEqual(first.Values, Train(12, threads: 2, seed: 2).Values);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void TheNumberOfThreadsDoesNotMatter(int threads)
    {
        var one = Train(12, threads: 1);
        var several = Train(12, threads);
        Assert.Equal(one.Values, several.Values);
        Assert.Equal(one.Buffers, several.Buffers);
        Assert.Equal(one.Losses, several.Losses);
    }

    [Theory]
    [MemberData(nameof(KernelTest.Widths), MemberType = typeof(KernelTest))]
    public void EveryVectorWidthStartsTheSame(int lanes)
    {
        var scalar = Train(2, threads: 1, width: VectorWidth.Scalar);
        var vector = Train(2, threads: 1, width: (VectorWidth)lanes);
        Assert.Equal(scalar.Losses[0], vector.Losses[0], 1e-3f * scalar.Losses[0]);
        KernelTest.Close(scalar.Values, vector.Values, new Tolerance(1e-3, 1e-3), $"{lanes} lanes");
    }
}
