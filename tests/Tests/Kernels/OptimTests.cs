using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class OptimTests
{
    private const int Steps = 5;

    public static TheoryData<int> Lanes => KernelTest.LanesAndByFour;

    [Theory, MemberData(nameof(Lanes))]
    public void SgdEqualsGolden(int lanes) => EqualsGolden(lanes, "SGD", (file, rate, step, value, gradient, state) => new SgdStep(
        value, gradient, state("momentum_buffer"), rate, Number(file, "momentum"), Number(file, "dampening"), Number(file, "weight_decay"),
        Flag(file, "nesterov"), FirstStep: step == 1));

    [Theory, MemberData(nameof(Lanes))]
    public void AdamEqualsGolden(int lanes) => EqualsGolden(lanes, "Adam", (file, rate, step, value, gradient, state) => Adam(file, rate, step, value, gradient, state, false));

    [Theory, MemberData(nameof(Lanes))]
    public void AdamWEqualsGolden(int lanes) => EqualsGolden(lanes, "AdamW", (file, rate, step, value, gradient, state) => Adam(file, rate, step, value, gradient, state, true));

    [Fact]
    public void AmsGradIsAbsent() => Skip(file => Flag(file, "amsgrad"), "AMSGrad is not implemented");

    [Fact]
    public void RmsPropIsAbsent() => Skip(file => Algorithm(file) == "RMSprop", "RMSprop is not implemented");

    [Theory, MemberData(nameof(Lanes))]
    public void CaffeFormFollowsItsFormula(int lanes)
    {
        int length = KernelTest.IsByFour(lanes) ? 36 : 37;
        using var test = new KernelTest(lanes);
        float[] start = KernelTest.Random(1, length), gradients = KernelTest.Random(2, length);
        TensorView value = test.Upload(start, length), gradient = test.Upload(gradients, length), velocity = test.Zeros(length);
        double[] w = KernelTest.Widen(start), v = new double[length];
        foreach (float rate in (float[])[0.1f, 0.1f, 0.01f])
        {
            test.Run(new SgdStep(value, gradient, velocity, rate, 0.9f, WeightDecay: 0.01f, Form: MomentumForm.Caffe));
            for (int i = 0; i < length; i++)
            {
                v[i] = 0.9f * v[i] + rate * (gradients[i] + 0.01f * w[i]);
                w[i] -= v[i];
            }
            KernelTest.Close(w, test.Read(value), Tolerance.Pointwise, "value");
            KernelTest.Close(v, test.Read(velocity), Tolerance.Pointwise, "velocity");
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void GuardScalesTheGradientOrStopsTheStep(int lanes)
    {
        int length = KernelTest.IsByFour(lanes) ? 20 : 21;
        using var test = new KernelTest(lanes);
        float[] start = KernelTest.Random(1, length), gradients = KernelTest.Random(2, length), halves = Array.ConvertAll(gradients, g => g / 2);
        TensorView gradient = test.Upload(gradients, length), half = test.Upload(halves, length), stop = test.Upload([1f, 0f], 2), scale = test.Upload([0.5f, 1f], 2);
        TensorView[] blocks = [.. Enumerable.Range(0, 6).Select(i => i % 3 == 0 ? test.Upload(start, length) : test.Zeros(length))];
        test.Run(new SgdStep(blocks[0], gradient, blocks[1], 0.1f, 0.9f, Guard: scale));
        test.Run(new SgdStep(blocks[3], half, blocks[4], 0.1f, 0.9f));
        Assert.Equal(test.Read(blocks[3]), test.Read(blocks[0]));
        test.Run(new AdamStep(blocks[0], gradient, blocks[1], blocks[2], 0.1f, 2, Guard: scale));
        test.Run(new AdamStep(blocks[3], half, blocks[4], blocks[5], 0.1f, 2));
        Assert.Equal(test.Read(blocks[3]), test.Read(blocks[0]));
        test.Run(new SgdStep(blocks[0], gradient, blocks[1], 0.1f, 0.9f, Guard: stop));
        test.Run(new AdamStep(blocks[0], gradient, blocks[1], blocks[2], 0.1f, 3, Guard: stop));
        for (int i = 0; i < 3; i++)
            Assert.Equal(test.Read(blocks[3 + i]), test.Read(blocks[i]));
    }

    [Theory, MemberData(nameof(Lanes))]
    public void ClippingEqualsGolden(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("clip_grad_norm"))
        {
            var file = GoldenFile.Load(path);
            if (file.Attribute("norm_type")!.Value.GetString() != "2.0")
                continue; // AbsentNormIsSkipped says so by name
            using var test = new KernelTest(lanes);
            float[] all = [.. file.F32("grad.0"), .. file.F32("grad.1")];
            TensorView gradient = test.Upload(all, all.Length), norm = test.Output(2), guard = test.Output(2), value = test.Zeros(all.Length);
            test.Run(new GradientNorm(gradient, norm));
            test.Run(new ClipFactor(norm, guard, Number(file, "max_norm")));
            test.Compare(file, "total_norm", norm.Slice(0, new Shape(1)), Tolerance.Sum);
            Assert.Equal(1, test.Read(guard)[1]);
            test.Run(new SgdStep(value, gradient, default, -1, Guard: guard));
            KernelTest.Close([.. file.F64("clipped.0"), .. file.F64("clipped.1")], test.Read(value), Tolerance.SumGradient, "clipped");
        }
    }

    [Fact]
    public void AbsentNormIsSkipped()
    {
        GoldenFolder.Require("ops", "clip_grad_norm", "norminf.safetensors");
        Assert.Skip("clip_grad_norm/norminf: clipping by the largest element is not implemented");
    }

    [Theory, MemberData(nameof(Lanes))]
    public void NormEqualsReference(int lanes)
    {
        foreach (int length in (int[])[0, 1, 15, 33, 2049, 200_003])
        {
            using var test = new KernelTest(lanes);
            var values = KernelTest.Random(length, length, 3);
            var norm = test.Output(2);
            test.Run(new GradientNorm(test.Upload(values, length), norm));
            KernelTest.Close([Math.Sqrt(values.Sum(value => (double)value * value)), 1], test.Read(norm), new(0, 1e-6), "norm");
        }
    }

    [Theory, InlineData(float.NaN, 0), InlineData(float.PositiveInfinity, 0), InlineData(float.NegativeInfinity, 0), InlineData(3e38f, 1), InlineData(1e25f, 1)]
    public void FiniteFlagIsExact(float odd, float flag)
    {
        foreach (int lanes in (int[])[1, 4, 8, 16])
            foreach (int at in (int[])[0, 4999, 5000])
            {
                using var test = new KernelTest(lanes);
                var values = KernelTest.Random(1, 5001);
                values[at] = odd;
                TensorView norm = test.Output(2), guard = test.Output(2);
                test.Run(new GradientNorm(test.Upload(values, values.Length), norm));
                test.Run(new ClipFactor(norm, guard, 35));
                Assert.Equal(flag, test.Read(norm)[1]);
                Assert.Equal(flag, test.Read(guard)[1]);
                if (flag == 1)
                    KernelTest.Close([odd], [test.Read(norm)[0]], new(0, 1e-6), "norm");
            }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void EmaEqualsGolden(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("ema"))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            var average = test.Upload(file, "value.step0");
            for (int step = 1; file.Has($"ema.step{step}"); step++)
            {
                test.Run(new EmaUpdate(average, test.Upload(file, $"value.step{step}"), Number(file, "decay")));
                test.Compare(file, $"ema.step{step}", average, Tolerance.Pointwise);
            }
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void OnlyAStepThatIsNotFiniteIsTakenBack(int lanes)
    {
        using var test = new KernelTest(lanes);
        float[] before = KernelTest.Random(1, 1000), value = KernelTest.Random(2, 1000);
        foreach (float finite in (float[])[1, 0])
        {
            var view = test.Upload(value, 1000);
            test.Run(new RestoreUnlessFinite(test.Upload(before, 1000), view, test.Upload([5f, finite], 2)));
            Assert.Equal(finite != 0 ? value : before, test.Read(view));
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        int length = KernelTest.Smaller(lanes, 300_007, 20_011) + (KernelTest.IsByFour(lanes) ? 1 : 0);
        TensorView value = test.Upload(KernelTest.Random(1, length), length), gradient = test.Upload(KernelTest.Random(2, length), length);
        TensorView first = test.Zeros(length), second = test.Zeros(length), norm = test.Output(2), guard = test.Output(2), average = test.Zeros(length);
        test.Run(new GradientNorm(gradient, norm));
        test.Run(new ClipFactor(norm, guard, 1));
        test.Run(new SgdStep(value, gradient, first, 0.1f, 0.9f, WeightDecay: 0.1f, Guard: guard));
        test.Run(new AdamStep(value, gradient, first, second, 0.1f, 1, Guard: guard));
        test.Run(new EmaUpdate(average, value, 0.99));
        return [.. test.Read(norm), .. test.Read(value), .. test.Read(average)];
    });

    [Fact]
    public void SlicesOfABlockTakeTheirOwnRates()
    {
        using var test = new KernelTest(8);
        TensorView value = test.Ones(10), gradient = test.Ones(10);
        test.Run(new SgdStep(value.Slice(0, new Shape(4)), gradient.Slice(0, new Shape(4)), default, 0.5f));
        test.Run(new SgdStep(value.Slice(4, new Shape(6)), gradient.Slice(4, new Shape(6)), default, 0.25f));
        Assert.Equal([.5f, .5f, .5f, .5f, .75f, .75f, .75f, .75f, .75f, .75f], test.Read(value));
    }

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(8);
        TensorView value = test.Ones(4), gradient = test.Ones(4);
        var missing = Assert.Throws<KernelException>(() => test.Run(new SgdStep(value, gradient, default, 1, 0.9f)));
        Assert.Equal("SgdStep: velocity expects a buffer when momentum is not zero but is none", missing.Message);
        Assert.Throws<KernelException>(() => test.Run(new SgdStep(value, gradient, test.Zeros(4), 1, 0.9f, Nesterov: true, Form: MomentumForm.Caffe)));
        Assert.Throws<KernelException>(() => test.Run(new AdamStep(value, gradient, test.Zeros(4), test.Zeros(4), 1, 0)));
        Assert.Throws<KernelException>(() => test.Run(new EmaUpdate(value, test.Ones(5), 0.9)));
    }

    private delegate TKernel Stepper<TKernel>(
        GoldenFile file, float rate, int step, TensorView value, TensorView gradient, Func<string, TensorView> state);

    private static void EqualsGolden<TKernel>(int lanes, string algorithm, Stepper<TKernel> kernel) where TKernel : struct, IKernel
    {
        foreach (string path in GoldenFolder.Cases("optimizer"))
        {
            var file = GoldenFile.Load(path);
            if (Algorithm(file) != algorithm || Flag(file, "amsgrad"))
                continue;
            using var test = new KernelTest(lanes);
            foreach (string parameter in (string[])["a", "b"])
            {
                var value = test.Upload(file, $"param.{parameter}.step0");
                var states = new Dictionary<string, TensorView>();
                TensorView State(string name) => !file.Has($"state.{name}.{parameter}.step1") ? default
                    : states.TryGetValue(name, out var state) ? state : states[name] = test.Zeros(value.Shape.ToArray());
                for (int step = 1; step <= Steps; step++)
                {
                    var gradient = test.Upload(file, $"grad.{parameter}.step{step}");
                    test.Run(kernel(file, (float)file.F64("lr")[step - 1], step, value, gradient, State));
                    test.Compare(file, $"param.{parameter}.step{step}", value, Tolerance.Sum);
                    foreach (var (name, state) in states)
                        test.Compare(file, $"state.{name}.{parameter}.step{step}", state, Tolerance.Sum);
                }
            }
        }
    }

    private static AdamStep Adam(
        GoldenFile file, float rate, int step, TensorView value, TensorView gradient, Func<string, TensorView> state, bool decoupled)
    {
        double beta1 = 0.9, beta2 = 0.999;
        if (file.Attribute("betas") is { } betas)
            (beta1, beta2) = (betas[0].GetDouble(), betas[1].GetDouble());
        float epsilon = file.Attribute("eps") is null ? 1e-8f : Number(file, "eps");
        return new(value, gradient, state("exp_avg"), state("exp_avg_sq"), rate, step, beta1, beta2, epsilon, Number(file, "weight_decay"), decoupled);
    }

    private static void Skip(Func<GoldenFile, bool> which, string why)
    {
        var names = GoldenFolder.Cases("optimizer").Select(GoldenFile.Load).Where(which).Select(file => file.Metadata["case"]);
        Assert.Skip($"optimizer/{string.Join(", optimizer/", names)}: {why}");
    }

    private static string Algorithm(GoldenFile file) => file.Attribute("algorithm")!.Value.GetString()!;

    private static float Number(GoldenFile file, string name) => file.Attribute(name) is { } number ? number.GetSingle() : 0;

    private static bool Flag(GoldenFile file, string name) => file.Attribute(name) is { } flag && flag.GetBoolean();
}
