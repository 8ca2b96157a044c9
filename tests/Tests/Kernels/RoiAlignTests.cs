using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class RoiAlignTests
{
    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenCases(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("roi_align"))
        {
            var file = GoldenFile.Load(path);
            using var test = new KernelTest(lanes);
            TensorView x = test.Upload(file, "x"), rois = test.Upload(file, "rois"), gradY = test.Upload(file, "grad_out");
            TensorView y = test.Output(gradY.Shape), gradX = test.Output(x.Shape);
            var rule = new RoiAlignRule(file.Attribute("spatial_scale")!.Value.GetSingle(), file.Attribute("sampling_ratio")!.Value.GetInt32(),
                file.Attribute("aligned")!.Value.GetBoolean());
            test.Run(new RoiAlignForward(x, rois, y, rule));
            test.Run(new RoiAlignInputGradient(gradY, rois, gradX, rule, Accumulate: false));
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
        }
    }

    /// <summary>The picture f(y, x) = 10 y + x, worked by hand.</summary>
    [Theory]
    [InlineData(false, 0, 4, 4, 16, 20, new[] { 21.75f, 23.25f, 41.75f, 43.25f })]
    [InlineData(true, 2, 4, 4, 16, 20, new[] { 16.25f, 17.75f, 36.25f, 37.75f })]
    [InlineData(false, 0, 0, 0, 40, 10, new[] { 8.75f, 2.25f, 21.25f, 4.75f })]
    [InlineData(false, 2, 0, 0, 40, 10, new[] { 8.75f, 0, 21.25f, 0 })]
    [InlineData(true, 0, 0, 0, 40, 10, new[] { 4.1875f, 2.875f, 15.75f, 7.5f })]
    [InlineData(true, 2, 0, 0, 40, 10, new[] { 4.1875f, 3.59375f, 15.75f, 9.375f })]
    public void MatchesValuesWorkedByHand(bool aligned, int ratio, float x1, float y1, float x2, float y2, float[] expected)
    {
        using var test = new KernelTest(8);
        var x = test.Upload([.. Enumerable.Range(0, 36).Select(i => 10f * (i / 6) + i % 6)], 1, 6, 6, 1);
        var y = test.Output(1, 2, 2, 1);
        test.Run(new RoiAlignForward(x, test.Upload([0, x1, y1, x2, y2], 1, 5), y, new RoiAlignRule(0.25f, ratio, aligned)));
        KernelTest.Close(expected, test.Read(y), Tolerance.Sum, "y");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesDoubleAtAwkwardSizes(int lanes)
    {
        int seed = 0;
        foreach (var (channels, down, across) in ((int, int, int)[])[(1, 7, 7), (3, 1, 5), (20, 4, 3), (33, 2, 2), (64, 3, 1), (132, 2, 3)])
            foreach (int ratio in (int[])[0, 1, 2, 3])
                Compare(lanes, ++seed, channels, down, across, ratio, aligned: (seed & 1) == 0);
    }

    private static void Compare(int lanes, int seed, int channels, int down, int across, int ratio, bool aligned)
    {
        const int Batch = 3, Height = 19, Width = 23;
        const float Scale = 0.5f;
        using var test = new KernelTest(lanes, 3);
        int count = KernelTest.Smaller(lanes, 70, 15);
        float[] rois = Boxes(seed, count, Batch, Height / Scale, Width / Scale);
        float[] x = KernelTest.Random(seed + 1, Batch * Height * Width * channels), gradY = KernelTest.Random(seed + 2, count * down * across * channels);
        var reference = new RoiAlignReference(Batch, Height, Width, channels, down, across, Scale, ratio, aligned);
        TensorView input = test.Upload(x, Batch, Height, Width, channels), boxes = test.Upload(rois, count, 5), y = test.Output(count, down, across, channels);
        var gradX = test.Fill(input.Shape.ToArray(), 0.5f);
        var rule = new RoiAlignRule(Scale, ratio, aligned);
        test.Run(new RoiAlignForward(input, boxes, y, rule));
        test.Run(new RoiAlignInputGradient(test.Upload(gradY, count, down, across, channels), boxes, gradX, rule, Accumulate: true));
        string what = $"{channels} channels, {down}x{across} bins, ratio {ratio}, aligned {aligned}";
        KernelTest.Close(reference.Forward(KernelTest.Widen(x), rois), test.Read(y), Tolerance.Sum, "y: " + what);
        KernelTest.Close(Array.ConvertAll(reference.InputGradient(gradY, rois), g => g + 0.5), test.Read(gradX), Tolerance.SumGradient, "gradX: " + what);
    }

    /// <summary>Boxes of every size, across the border and outside, some turned inside out, some empty.</summary>
    private static float[] Boxes(int seed, int count, int batch, float height, float width)
    {
        var random = new Random(seed);
        var rois = new float[5 * count];
        for (int k = 0; k < count; k++)
        {
            float x = random.NextSingle() * 1.4f * width - 0.2f * width, y = random.NextSingle() * 1.4f * height - 0.2f * height;
            float size = k % 5 == 0 ? 0 : MathF.Pow(random.NextSingle(), 2) * 2 * width * (k % 7 == 0 ? -1 : 1);
            float[] roi = [random.Next(batch), x, y, x + size * random.NextSingle(), y + size * random.NextSingle()];
            roi.CopyTo(rois, 5 * k);
        }
        return rois;
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void HugeBoxesEndAndBrokenOnesShow(int lanes)
    {
        using var test = new KernelTest(lanes);
        var x = test.Ones(2, 5, 6, 4);
        float[] rois = [1, -4e8f, -4e8f, 4e8f, 4e8f, 0, 0, float.NaN, 4, 4, 2, 0, 0, 4, 4, 0, 0, 0, float.PositiveInfinity, 4, 1, 1, 1, 4, 4, -1, 0, 0, 4, 4];
        TensorView boxes = test.Upload(rois, 6, 5), y = test.Output(6, 2, 2, 4), gradX = test.Output(x.Shape);
        test.Run(new RoiAlignForward(x, boxes, y, new RoiAlignRule(1)));
        test.Run(new RoiAlignInputGradient(test.Ones(6, 2, 2, 4), boxes, gradX, new RoiAlignRule(1), Accumulate: false));
        float[] got = test.Read(y), gradient = test.Read(gradX);
        Assert.All(got[..16], value => Assert.InRange(value, 0, 1));
        foreach (int broken in (int[])[1, 2, 3, 5])
            Assert.All(got[(16 * broken)..(16 * broken + 16)], value => Assert.True(float.IsNaN(value), $"RoI {broken} gives {value}"));
        KernelTest.Close(Enumerable.Repeat(1.0, 16).ToArray(), got.AsSpan(64, 16), Tolerance.Sum, "the sound box");
        Assert.Equal(0, gradient[..120].Sum()); // no sound box reads image 0
        Assert.Equal(16 + got[..16].Sum(), gradient[120..].Sum(), 1e-3f);
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void GradientEqualsCentralDifferences(int lanes)
    {
        const int Batch = 2, Height = 4, Width = 5, Channels = 4;
        using var test = new KernelTest(lanes);
        float[] rois = [0, 0.3f, 0.2f, 3.1f, 2.9f, 1, -2, 1, 6, 3.3f, 1, 2, 2, 2.4f, 2.6f], x = KernelTest.Random(1, Batch * Height * Width * Channels);
        float[] gradY = KernelTest.Random(2, 3 * 4 * Channels);
        var reference = new RoiAlignReference(Batch, Height, Width, Channels, 2, 2, 1, 0, aligned: true);
        double[] expected = KernelTest.NumericGradient(
            p => reference.Forward(p, rois).Zip(gradY, (a, b) => a * b).Sum(), KernelTest.Widen(x));
        var gradX = test.Output(Batch, Height, Width, Channels);
        test.Run(new RoiAlignInputGradient(test.Upload(gradY, 3, 2, 2, Channels), test.Upload(rois, 3, 5), gradX, new RoiAlignRule(1), Accumulate: false));
        KernelTest.Close(expected, test.Read(gradX), Tolerance.SumGradient, "gradX");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        const int Channels = 20;
        int height = KernelTest.Smaller(lanes, 60, 15), width = KernelTest.Smaller(lanes, 70, 20), count = KernelTest.Smaller(lanes, 300, 20);
        TensorView x = test.Upload(KernelTest.Random(3, 2 * height * width * Channels), 2, height, width, Channels);
        TensorView rois = test.Upload(Boxes(5, count, 2, height, width), count, 5), y = test.Output(count, 7, 7, Channels), gradX = test.Output(x.Shape);
        test.Run(new RoiAlignForward(x, rois, y, new RoiAlignRule(1, 2)));
        test.Run(new RoiAlignInputGradient(y, rois, gradX, new RoiAlignRule(1, 2), Accumulate: false));
        return [.. test.Read(y), .. test.Read(gradX)];
    });

    [Fact]
    public void ErrorsNameTheArgument()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(1, 8, 8, 2), four = test.Output(3, 4), rois = test.Output(3, 5), y = test.Output(2, 7, 7, 2), good = test.Output(3, 7, 7, 2);
        Assert.Equal("RoiAlignForward: rois expects f32[K,5] of image, x1, y1, x2, y2 but is f32[3,4]",
            Assert.Throws<KernelException>(() => test.Run(new RoiAlignForward(x, four, y, new RoiAlignRule(1)))).Message);
        Assert.Equal("RoiAlignInputGradient: gradY expects f32[3,bins,bins,2] but is f32[2,7,7,2]",
            Assert.Throws<KernelException>(() => test.Run(new RoiAlignInputGradient(y, rois, x, new RoiAlignRule(1), false))).Message);
        Assert.Equal("RoiAlignForward: scale expects a number > 0 but is 0",
            Assert.Throws<KernelException>(() => test.Run(new RoiAlignForward(x, rois, good, new RoiAlignRule(0)))).Message);
    }
}
