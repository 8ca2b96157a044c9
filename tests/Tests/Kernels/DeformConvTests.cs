using System.Text.Json;
using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Modulated deformable convolution: golden cases, a double-precision reference, borders, determinism, bad arguments.</summary>
public class DeformConvTests
{
    public static TheoryData<int> Lanes => KernelTest.Lanes;

    [Theory]
    [MemberData(nameof(Lanes))]
    public void MatchesGolden(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("deform_conv2d"))
        {
            var file = GoldenFile.Load(path);
            using var test = new KernelTest(lanes);
            var window = WindowOf(file);
            int groups = file.Attribute("groups")!.Value.GetInt32(), offsetGroups = file.Attribute("offset_groups")!.Value.GetInt32();
            var x = test.Upload(file, "x");
            var offset = test.Upload(file, "offset");
            var weight = test.Upload(file, "weight");
            var mask = file.Has("mask") ? test.Upload(file, "mask") : default;
            var bias = file.Has("bias") ? test.Upload(file, "bias") : default;
            var gradY = test.Upload(file, "grad_out");
            var y = test.Output(gradY.Shape);
            test.Run(new DeformConv2dForward(x, offset, mask, weight, bias, y, window, groups, offsetGroups));
            test.Compare(file, "out", y, Tolerance.Sum);

            var gradX = test.Output(x.Shape);
            var gradOffset = test.Output(offset.Shape);
            var gradMask = mask.IsNone ? default : test.Output(mask.Shape);
            var gradWeight = test.Output(weight.Shape);
            test.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, gradX, gradOffset, gradMask, window, groups, offsetGroups));
            test.Run(new DeformConv2dWeightGradient(x, offset, mask, gradY, gradWeight, window, groups, offsetGroups));
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
            test.Compare(file, "grad.offset", gradOffset, Tolerance.SumGradient);
            test.Compare(file, "grad.weight", gradWeight, Tolerance.SumGradient);
            if (!mask.IsNone)
                test.Compare(file, "grad.mask", gradMask, Tolerance.SumGradient);
            if (bias.IsNone)
                continue;
            var gradBias = test.Output(bias.Shape);
            test.Run(new ChannelSum(gradY, gradBias));
            test.Compare(file, "grad.bias", gradBias, Tolerance.SumGradient);
        }
    }

    /// <summary>
    /// Sizes around vectors, tiles and slices; weight and offset groups that cut the channels in different places; and more
    /// columns than one chunk holds.
    /// </summary>
    public static TheoryData<int, int, int, int, int, int, int, int, int, bool> Sizes => new()
    {
        // batch, height, width, in, out, kernel, stride, groups, offsetGroups, mask
        { 1, 1, 1, 1, 1, 1, 1, 1, 1, true },
        { 2, 7, 5, 3, 2, 3, 1, 1, 1, true },
        { 1, 9, 11, 17, 33, 3, 1, 1, 1, true },
        { 3, 8, 7, 12, 6, 3, 2, 2, 3, true },
        { 1, 6, 5, 12, 12, 3, 1, 12, 4, false },
        { 1, 5, 8, 12, 9, 2, 1, 3, 2, true },
        { 2, 7, 9, 71, 5, 3, 1, 1, 1, true },
        { 1, 6, 6, 260, 7, 3, 1, 1, 2, true },
        { 1, 3, 4, 8, 6, 1, 1, 2, 1, true },
        { 2, 31, 30, 128, 16, 3, 1, 1, 1, true },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void MatchesReference(int batch, int height, int width, int channels, int outChannels, int kernel, int stride, int groups, int offsetGroups, bool hasMask)
    {
        Match(height, width, 1, 4, 8, 16, KernelTest.Gpu);
        Match(Math.Min(height, 9), Math.Min(width, 9), KernelTest.PtxMachine);

        void Match(int height, int width, params int[] lanes) => CheckAgainstReference(
            new(new(batch, height, width, channels, outChannels, Window.Square(kernel, stride, kernel / 2), groups, offsetGroups, hasMask), seed: 7), lanes);
    }

    private static void CheckAgainstReference(Problem problem, int[] paths)
    {
        var expected = problem.ExpectedGradients();
        var expectedY = problem.ExpectedForward();
        foreach (int lanes in paths)
        {
            using var test = new KernelTest(lanes);
            var got = problem.Run(test);
            KernelTest.Close(expectedY, got.Y, Tolerance.Sum, $"y, {lanes} lanes");
            KernelTest.Close(expected.X, got.GradX, Tolerance.SumGradient, $"gradX, {lanes} lanes");
            KernelTest.Close(expected.Offset, got.GradOffset, Tolerance.SumGradient, $"gradOffset, {lanes} lanes");
            KernelTest.Close(expected.Mask, got.GradMask, Tolerance.SumGradient, $"gradMask, {lanes} lanes");
            KernelTest.Close(expected.Weight, got.GradWeight, Tolerance.SumGradient, $"gradWeight, {lanes} lanes");
        }
    }

    /// <summary>More images than the ILGPU path makes columns of at a time (64 MiB); and the order of its atomics does not show.</summary>
    [Fact]
    public void ChunksOfImagesOnTheOtherPath()
    {
        var problem = new Problem(new(17, 31, 30, 128, 1, Window.Square(3, 1, 1), 1, 1, true), seed: 8);
        var expected = problem.ExpectedGradients();
        Results? first = null;
        for (int i = 0; i < 2; i++)
        {
            using var test = new KernelTest(KernelTest.Gpu);
            var got = problem.Run(test);
            first ??= got;
            KernelTest.Close(expected.X, got.GradX, Tolerance.SumGradient, "gradX");
            KernelTest.Close(expected.Offset, got.GradOffset, Tolerance.SumGradient, "gradOffset");
            KernelTest.Close(expected.Weight, got.GradWeight, Tolerance.SumGradient, "gradWeight");
            Assert.Equal([.. first.Y, .. first.GradX, .. first.GradOffset, .. first.GradMask, .. first.GradWeight],
                (float[])[.. got.Y, .. got.GradX, .. got.GradOffset, .. got.GradMask, .. got.GradWeight]);
        }
    }

    /// <summary>The reference's derivatives are themselves held against finite differences, at points between the border's corners.</summary>
    [Fact]
    public void ReferenceGradientsAreFiniteDifferences()
    {
        var problem = new Problem(new(1, 4, 5, 2, 3, Window.Square(3, 1, 1), 1, 1, true), seed: 3);
        // Tap (0,0) of output (0,0) at y = -.4, tap (2,2) of output (3,4) at y = H-.3, x = W-.3, the others where the seed puts them.
        problem.Offset[0] = 0.6f;
        problem.Offset[(3 * 5 + 4) * 18 + 16] = -0.3f;
        problem.Offset[(3 * 5 + 4) * 18 + 17] = -0.3f;
        var expected = problem.ExpectedGradients();
        Tolerance fine = new(1e-6, 1e-6);
        KernelTest.Close(expected.Offset, Narrow(KernelTest.NumericGradient(at => problem.Loss(offset: at), KernelTest.Widen(problem.Offset))), fine, "offset");
        KernelTest.Close(expected.X, Narrow(KernelTest.NumericGradient(at => problem.Loss(x: at), KernelTest.Widen(problem.X))), fine, "x");
        KernelTest.Close(expected.Mask, Narrow(KernelTest.NumericGradient(at => problem.Loss(mask: at), KernelTest.Widen(problem.Mask))), fine, "mask");
        Assert.NotEqual(0, expected.Offset[0]);
        using var test = new KernelTest(8);
        KernelTest.Close(expected.Offset, problem.Run(test).GradOffset, Tolerance.SumGradient, "gradOffset at the border");
    }

    [Theory]
    [MemberData(nameof(Lanes))]
    public void ZeroOffsetsAreAnOrdinaryConvolutionTimesTheMask(int lanes)
    {
        using var test = new KernelTest(lanes);
        var window = Window.Square(3, 1, 1);
        var x = test.Upload(KernelTest.Random(1, 2 * 6 * 7 * 20), 2, 6, 7, 20);
        var weight = test.Upload(KernelTest.Random(2, 24 * 9 * 20), 24, 3, 3, 20);
        var bias = test.Zeros(24);
        var plain = test.Output(2, 6, 7, 24);
        var deformed = test.Output(2, 6, 7, 24);
        test.Run(new Conv2dForward(x, weight, bias, plain, window));
        test.Run(new DeformConv2dForward(x, test.Zeros(2, 6, 7, 18), test.Fill([2, 6, 7, 9], 0.5f), weight, bias, deformed, window));
        KernelTest.Close(Array.ConvertAll(test.Read(plain), value => value * 0.5), test.Read(deformed), Tolerance.Sum, "half a convolution");
    }

    [Fact]
    public void BitsDoNotDependOnThreads()
    {
        var small = new Problem(new(1, 12, 11, 130, 20, Window.Square(3, 1, 1), 1, 1, true), seed: 5);
        var grouped = new Problem(new(3, 9, 8, 24, 12, Window.Square(3, 2, 1), 2, 4, true), seed: 6);
        var chunked = new Problem(new(2, 31, 30, 128, 8, Window.Square(3, 1, 1), 1, 1, true), seed: 8);
        foreach (var problem in (Problem[])[small, grouped, chunked])
            KernelTest.Deterministic(8, test =>
            {
                var got = problem.Run(test);
                return [.. got.Y, .. got.GradX, .. got.GradOffset, .. got.GradMask, .. got.GradWeight];
            });
    }

    [Theory]
    [InlineData(8)]
    [InlineData(KernelTest.Gpu), InlineData(KernelTest.PtxMachine)]
    public void AccumulatesAndSkipsWhatIsNotAsked(int lanes)
    {
        var problem = new Problem(new(2, 5, 6, 8, 10, Window.Square(3, 1, 1), 1, 2, true), seed: 9);
        using var test = new KernelTest(lanes);
        var once = problem.Run(test);
        var (x, offset, mask, weight, gradY) = problem.Upload(test);
        var gradX = test.Ones(2, 5, 6, 8);
        var gradOffset = test.Ones(2, 5, 6, 36);
        var gradMask = test.Ones(2, 5, 6, 18);
        var gradWeight = test.Ones(10, 3, 3, 8);
        var window = problem.Sizes.Window;
        test.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, gradX, default, default, window, 1, 2, AccumulateX: true));
        test.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, default, gradOffset, default, window, 1, 2, AccumulateOffset: true));
        test.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, default, default, gradMask, window, 1, 2, AccumulateMask: true));
        test.Run(new DeformConv2dWeightGradient(x, offset, mask, gradY, gradWeight, window, 1, 2, Accumulate: true));
        foreach (var (name, alone, added) in ((string, float[], TensorView)[])[
            ("gradX", once.GradX, gradX), ("gradOffset", once.GradOffset, gradOffset), ("gradMask", once.GradMask, gradMask), ("gradWeight", once.GradWeight, gradWeight)])
            KernelTest.Close(Array.ConvertAll(alone, value => value + 1.0), test.Read(added), Tolerance.SumGradient, name);
    }

    [Theory]
    [InlineData(8)]
    [InlineData(KernelTest.Gpu), InlineData(KernelTest.PtxMachine)]
    public void AnEmptyBatchGivesAZeroWeightGradient(int lanes)
    {
        var problem = new Problem(new(0, 4, 4, 3, 2, Window.Square(3, 1, 1), 1, 1, true), seed: 1);
        using var test = new KernelTest(lanes);
        Assert.All(problem.Run(test).GradWeight, value => Assert.Equal(0, value));
    }

    /// <summary>Far away is zero; an offset that is no number is seen in the result and does not lead outside of the memory.</summary>
    [Theory]
    [MemberData(nameof(Lanes))]
    public void ExtremeOffsetsStayInsideTheImage(int lanes)
    {
        using var test = new KernelTest(lanes);
        var x = test.Ones(1, 3, 3, 5);
        var weight = test.Ones(2, 1, 1, 5);
        float[] offsets = [1e30f, 0, -1e30f, 0, float.PositiveInfinity, 0, 0, float.NegativeInfinity, -1, 0, 0, 3, 2.5f, 0, float.NaN, 0, 0, 0];
        var offset = test.Upload(offsets, 1, 3, 3, 2);
        var y = test.Output(1, 3, 3, 2);
        test.Run(new DeformConv2dForward(x, offset, default, weight, default, y, Window.Square(1)));
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 0, 0, 0, 0, float.NaN, float.NaN, 5, 5], test.Read(y));
        var gradX = test.Output(1, 3, 3, 5);
        var gradOffset = test.Output(1, 3, 3, 2);
        test.Run(new DeformConv2dInputGradient(x, offset, default, weight, test.Ones(1, 3, 3, 2), gradX, gradOffset, default, Window.Square(1)));
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0], test.Read(gradOffset)[..8]);
    }

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(8);
        var x = test.Ones(1, 4, 4, 6);
        var weight = test.Ones(2, 3, 3, 6);
        var offset = test.Zeros(1, 4, 4, 18);
        var mask = test.Ones(1, 4, 4, 9);
        var y = test.Output(1, 4, 4, 2);
        var window = Window.Square(3, 1, 1);
        Says("DeformConv2dForward: offset expects f32[1,4,4,18] but is f32[1,4,4,9]", new DeformConv2dForward(x, mask, mask, weight, default, y, window));
        Says("DeformConv2dForward: mask expects f32[1,4,4,9] but is f32[1,4,4,18]", new DeformConv2dForward(x, offset, offset, weight, default, y, window));
        Says("DeformConv2dForward: offsetGroups expects a divisor of 6 input channels but is 4", new DeformConv2dForward(x, offset, mask, weight, default, y, window, 1, 4));
        Says("DeformConv2dForward: bias expects f32[2] but is f32[1,4,4,2]", new DeformConv2dForward(x, offset, mask, weight, y, y, window));
        Says("DeformConv2dInputGradient: gradMask expects none where mask is none but is f32[1,4,4,9]",
            new DeformConv2dInputGradient(x, offset, default, weight, y, default, default, mask, window));
        Says("DeformConv2dInputGradient: x f32[1,4,4,6] and gradX f32[1,4,4,6] share memory",
            new DeformConv2dInputGradient(x, offset, mask, weight, y, x, default, default, window));
        Says("DeformConv2dWeightGradient: gradWeight expects f32[2,3,3,6] but is f32[2,3,3,5]",
            new DeformConv2dWeightGradient(x, offset, mask, y, test.Output(2, 3, 3, 5), window));

        void Says<TKernel>(string message, TKernel kernel) where TKernel : struct, IKernel =>
            Assert.StartsWith(message, Assert.Throws<KernelException>(() => test.Device.Run(kernel)).Message);
    }

    private static Window WindowOf(GoldenFile file)
    {
        int[] stride = Pair("stride"), padding = Pair("padding"), dilation = Pair("dilation");
        int[] weight = file.Shape("weight");
        return new(weight[2], weight[3], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]);

        int[] Pair(string name) => file.Attribute(name)!.Value.Deserialize<int[]>()!;
    }

    private static float[] Narrow(double[] values) => Array.ConvertAll(values, value => (float)value);

    private sealed record Results(float[] Y, float[] GradX, float[] GradOffset, float[] GradMask, float[] GradWeight);

    /// <summary>Random inputs of one size, with what the kernels and the reference make of them.</summary>
    private sealed class Problem
    {
        public Problem(DeformConvReference sizes, int seed)
        {
            Sizes = sizes;
            X = KernelTest.Random(seed, sizes.Batch * sizes.Height * sizes.Width * sizes.In);
            Offset = KernelTest.Random(seed + 1, sizes.Pixels * 2 * sizes.Samples, 2.5f);
            Mask = KernelTest.Random(seed + 2, sizes.Pixels * sizes.Samples);
            Weight = KernelTest.Random(seed + 3, sizes.Out * sizes.Window.Area * sizes.In / sizes.Groups);
            GradY = KernelTest.Random(seed + 4, sizes.Pixels * sizes.Out);
            Bias = KernelTest.Random(seed + 5, sizes.Out);
        }

        public DeformConvReference Sizes { get; }

        public float[] X { get; }

        public float[] Offset { get; }

        public float[] Mask { get; }

        public float[] Weight { get; }

        public float[] GradY { get; }

        public float[] Bias { get; }

        public double[] ExpectedForward() =>
            Sizes.Forward(KernelTest.Widen(X), KernelTest.Widen(Offset), KernelTest.Widen(Mask), KernelTest.Widen(Weight), KernelTest.Widen(Bias));

        public (double[] X, double[] Offset, double[] Mask, double[] Weight) ExpectedGradients() =>
            Sizes.Gradients(KernelTest.Widen(X), KernelTest.Widen(Offset), KernelTest.Widen(Mask), KernelTest.Widen(Weight), KernelTest.Widen(GradY));

        /// <summary>Σ gradY · y, with one input replaced.</summary>
        public double Loss(double[]? x = null, double[]? offset = null, double[]? mask = null)
        {
            var y = Sizes.Forward(x ?? KernelTest.Widen(X), offset ?? KernelTest.Widen(Offset), mask ?? KernelTest.Widen(Mask), KernelTest.Widen(Weight), new double[Sizes.Out]);
            double sum = 0;
            for (int i = 0; i < y.Length; i++)
                sum += y[i] * GradY[i];
            return sum;
        }

        public (TensorView X, TensorView Offset, TensorView Mask, TensorView Weight, TensorView GradY) Upload(KernelTest test)
        {
            int kernel = Sizes.Window.KernelHeight;
            return (test.Upload(X, Sizes.Batch, Sizes.Height, Sizes.Width, Sizes.In),
                test.Upload(Offset, Sizes.Batch, Sizes.OutHeight, Sizes.OutWidth, 2 * Sizes.Samples),
                Sizes.HasMask ? test.Upload(Mask, Sizes.Batch, Sizes.OutHeight, Sizes.OutWidth, Sizes.Samples) : default,
                test.Upload(Weight, Sizes.Out, kernel, kernel, Sizes.In / Sizes.Groups),
                test.Upload(GradY, Sizes.Batch, Sizes.OutHeight, Sizes.OutWidth, Sizes.Out));
        }

        public Results Run(KernelTest test)
        {
            var (x, offset, mask, weight, gradY) = Upload(test);
            var (window, groups, offsetGroups) = (Sizes.Window, Sizes.Groups, Sizes.OffsetGroups);
            var y = test.Output(gradY.Shape);
            var gradX = test.Output(x.Shape);
            var gradOffset = test.Output(offset.Shape);
            var gradMask = Sizes.HasMask ? test.Output(mask.Shape) : default;
            var gradWeight = test.Output(weight.Shape);
            test.Run(new DeformConv2dForward(x, offset, mask, weight, test.Upload(Bias, Sizes.Out), y, window, groups, offsetGroups));
            test.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, gradX, gradOffset, gradMask, window, groups, offsetGroups));
            test.Run(new DeformConv2dWeightGradient(x, offset, mask, gradY, gradWeight, window, groups, offsetGroups));
            return new(test.Read(y), test.Read(gradX), test.Read(gradOffset), Sizes.HasMask ? test.Read(gradMask) : [], test.Read(gradWeight));
        }
    }
}
