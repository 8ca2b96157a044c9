using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public sealed class OptimizerTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    /// <summary>Parameters without layers, and a buffer.</summary>
    private sealed class Bag : Module
    {
        public Bag(params ReadOnlySpan<(string Name, int[] Shape, float[] Values)> items)
        {
            foreach (var (name, shape, values) in items)
                AddParameter(name, new Shape(shape), (to, _, _) => values.CopyTo(to));
            Buffer = AddBuffer("running", new Shape(3), 0.5f);
        }

        public ModuleBuffer Buffer { get; }
    }

    [Fact]
    public void GoldenCases()
    {
        foreach (var path in GoldenFolder.Cases("optimizer"))
        {
            var file = GoldenFile.Load(path);
            string algorithm = file.Attribute("algorithm")!.Value.GetString()!;
            if (algorithm == "RMSprop" || file.Attribute("amsgrad") is not null)
            {
                Skipped(file, "the library has neither RMSprop nor AMSGrad");
                continue;
            }
            using var set = new ParameterSet(new Bag(("a", file.Shape("param.a.step0"), file.F32("param.a.step0")),
                ("b", file.Shape("param.b.step0"), file.F32("param.b.step0"))), device, 1);
            float Number(string name, float absent) => file.Attribute(name) is { } value ? (float)value.GetDouble() : absent;
            double Beta(int i, double absent) => file.Attribute("betas") is { } betas ? betas[i].GetDouble() : absent;
            using Optimizer optimizer = algorithm == "SGD"
                ? new Sgd(set, Number("momentum", 0), Number("weight_decay", 0), file.Attribute("nesterov") is not null, Number("dampening", 0))
                : new AdamW(set, Beta(0, 0.9), Beta(1, 0.999), Number("eps", 1e-8f), Number("weight_decay", algorithm == "AdamW" ? 0.01f : 0),
                    decoupled: algorithm == "AdamW");
            var rates = file.F64("lr");
            for (int step = 1; step <= 5; step++)
            {
                foreach (var (name, parameter) in set.Named)
                    device.Upload<float>(file.F32($"grad.{name}.step{step}"), parameter.Gradient);
                optimizer.Step((float)rates[step - 1]);
                foreach (var (name, parameter) in set.Named)
                    KernelTest.Close(file.F64($"param.{name}.step{step}"), LayerTest.Read(device, parameter.Value), Tolerance.Pointwise,
                        $"optimizer/{file.Metadata["case"]} {name} step {step}");
            }
            foreach (var (name, view) in optimizer.State.Where(s => s.Name.StartsWith("velocity.")))
                KernelTest.Close(file.F64($"state.momentum_buffer.{name["velocity.".Length..]}.step5"), LayerTest.Read(device, view), Tolerance.Pointwise, name);
            Assert.Equal(5, optimizer.Steps);
        }
    }

    [Fact]
    public void GoldenClipping()
    {
        foreach (var path in GoldenFolder.Cases("clip_grad_norm"))
        {
            var file = GoldenFile.Load(path);
            if (file.Attribute("norm_type")!.Value.GetString() != "2.0")
            {
                Skipped(file, "the library clips by the L2 norm only");
                continue;
            }
            using var set = new ParameterSet(new Bag(("a", file.Shape("grad.0"), new float[12]), ("b", file.Shape("grad.1"), new float[6])), device, 1);
            using var optimizer = new Sgd(set, clipNorm: (float)file.Attribute("max_norm")!.Value.GetDouble());
            device.Upload<float>(file.F32("grad.0"), set.Named[0].Parameter.Gradient);
            device.Upload<float>(file.F32("grad.1"), set.Named[1].Parameter.Gradient);
            optimizer.Step(-1); // from zero, a rate of -1 leaves the clipped gradient
            KernelTest.Close(file.F64("clipped.0"), LayerTest.Read(device, set.Named[0].Parameter.Value), Tolerance.Pointwise, "clipped.0");
            KernelTest.Close(file.F64("clipped.1"), LayerTest.Read(device, set.Named[1].Parameter.Value), Tolerance.Pointwise, "clipped.1");
            KernelTest.Close(file.F64("total_norm"), [optimizer.LastNorm], Tolerance.Pointwise, "total_norm");
        }
    }

    [Fact]
    public void CaffeFormKeepsTheRateInTheVelocity()
    {
        using var set = new ParameterSet(new Bag(("w", [1], [1f])), device, 1);
        using var optimizer = new Sgd(set, momentum: 0.5f, weightDecay: 0.1f, form: MomentumForm.Caffe);
        double w = 1, v = 0;
        foreach (double rate in (double[])[0.1, 0.1, 0.01])
        {
            device.Fill(set.Gradients, 2);
            optimizer.Step((float)rate);
            v = 0.5 * v + rate * (2 + 0.1 * w);
            w -= v;
            Assert.Equal(w, LayerTest.Read(device, set.Named[0].Parameter.Value)[0], 1e-6);
        }
    }

    [Fact]
    public void RangesHaveTheirOwnRateAndDecay()
    {
        using var set = new ParameterSet(new Bag(("weight", [2], [1f, 2]), ("bias", [1], [3f])), device, 1, [new GroupRule("bias$", 2, 0)]);
        using var optimizer = new Sgd(set, weightDecay: 0.5f);
        device.Fill(set.Gradients, 1);
        optimizer.Step(0.1f);
        KernelTest.Close([1 - 0.1 * (1 + 0.5), 2 - 0.1 * (1 + 1)], LayerTest.Read(device, set.Named[0].Parameter.Value), Tolerance.Pointwise, "weight");
        KernelTest.Close([3 - 0.2], LayerTest.Read(device, set.Named[1].Parameter.Value), Tolerance.Pointwise, "bias");
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void AStepThatIsNotFiniteLeavesNoTrace(float bad)
    {
        var bag = new Bag(("w", [3], [1f, 2, 3]));
        using var set = new ParameterSet(bag, device, 1);
        using var optimizer = new AdamW(set, clipNorm: 1);
        Step(0.25f, 0);
        var values = LayerTest.Read(device, set.Values);
        var state = optimizer.State.Select(s => LayerTest.Read(device, s.View)).ToArray();
        Assert.True(optimizer.LastFinite);

        Step(bad, float.NaN);
        Assert.False(optimizer.LastFinite);
        Assert.Equal((1, 1), (optimizer.Steps, optimizer.Skipped));
        Assert.Equal(values, LayerTest.Read(device, set.Values));
        Assert.Equal(state, optimizer.State.Select(s => LayerTest.Read(device, s.View)));
        Assert.Equal([0, 0, 0], LayerTest.Read(device, bag.Buffer.Value));

        Step(0.5f, 4);
        Assert.Equal((2, 1), (optimizer.Steps, optimizer.Skipped));
        Assert.Equal([4, 4, 4], LayerTest.Read(device, bag.Buffer.Value));

        void Step(float gradient, float buffer)
        {
            set.BeginGradients();
            device.Fill(bag.Buffer.Value, buffer); // as a forward pass would
            device.Upload<float>([0.5f, gradient, 0.1f], set.Named[0].Parameter.Gradient);
            optimizer.Step(0.1f);
        }
    }

    private static void Skipped(GoldenFile file, string why) =>
        TestContext.Current.TestOutputHelper?.WriteLine($"{file.Metadata["op"]}/{file.Metadata["case"]} skipped: {why}");

    [Fact]
    public void GoldenAverage()
    {
        foreach (var path in GoldenFolder.Cases("ema"))
        {
            var file = GoldenFile.Load(path);
            using var set = new ParameterSet(new Bag(("w", [7], file.F32("value.step0"))), device, 1);
            using var ema = new Ema(set, file.Attribute("decay")!.Value.GetDouble(), unbiased: false);
            for (int step = 1; step <= 5; step++)
            {
                device.Upload<float>(file.F32($"value.step{step}"), set.Named[0].Parameter.Value);
                ema.Update();
                KernelTest.Close(file.F64($"ema.step{step}"), LayerTest.Read(device, ema.State.First().View), Tolerance.Pointwise, $"step {step}");
            }
        }
    }

    [Fact]
    public void AnUnbiasedAverageIsTheWeightedMeanOfWhatItSaw()
    {
        var bag = new Bag(("w", [2], [100f, 100]));
        using var set = new ParameterSet(bag, device, 1);
        using var ema = new Ema(set, 0.9);
        double sum = 0, weights = 0;
        for (int step = 1; step <= 4; step++)
        {
            device.Fill(set.Named[0].Parameter.Value, step * step);
            device.Fill(bag.Buffer.Value, -step * step);
            ema.Update();
            sum = 0.9 * sum + 0.1 * step * step;
            weights = 0.9 * weights + 0.1;
            var state = ema.State.ToDictionary(s => s.Name, s => LayerTest.Read(device, s.View)[0]);
            Assert.Equal(sum / weights, state["w"], 1e-5);
            Assert.Equal(-sum / weights, state["running"], 1e-5);
        }

        var average = LayerTest.Read(device, ema.State.First().View);
        ema.Swap();
        Assert.Equal(average, LayerTest.Read(device, set.Named[0].Parameter.Value));
        ema.Swap();
        Assert.Equal([16, 16], LayerTest.Read(device, set.Named[0].Parameter.Value));
        Assert.Equal(average, LayerTest.Read(device, ema.State.First().View));
    }
}
