using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class TargetTests
{
    private const int Size = 128;

    public static TheoryData<int> Lanes => KernelTest.Lanes;

    private sealed record Maps(float[] Heatmap, float[] Boxes, float[] Weight);

    [Theory, MemberData(nameof(Lanes))]
    public void EncodesTheWideBoxOfTheSpecification(int lanes)
    {
        var maps = Encode(lanes, [100, 60, 299, 179], [1], [0, 1], Size, 2);
        Assert.Equal(459, maps.Heatmap.Count(value => value > 0));
        Assert.Equal(459, maps.Weight.Count(value => value > 0));
        // The ILGPU path takes the exponential in float32: 2e-8 of the sum.
        Near(79.693753, maps.Heatmap.Sum(value => (double)value), KernelTest.IsGpu(lanes) ? 4e-6 : 1e-6);
        Near(10.0858091, maps.Weight.Sum(value => (double)value), 1e-6);
        Assert.Equal(1, Heat(49, 29));
        Near(.1265571, maps.Weight[29 * Size + 49], 1e-7);
        Near(.9756110, Heat(50, 29), 1e-7);
        Near(.9756110, Heat(48, 29), 1e-7);
        Near(.9396162, Heat(49, 30), 1e-7);
        Assert.True(Heat(49 + 13, 29 + 8) > 0 && Heat(49 + 14, 29) == 0 && Heat(49, 29 - 9) == 0);
        Assert.Equal([100f, 60, 299, 179], maps.Boxes.AsSpan(4 * (29 * Size + 49), 4).ToArray());
        Assert.All(Enumerable.Range(0, Size * Size), cell => Assert.Equal(0, maps.Heatmap[2 * cell]));

        float Heat(int x, int y) => maps.Heatmap[2 * (y * Size + x) + 1];
    }

    [Theory, MemberData(nameof(Lanes))]
    public void EncodesTheCornerBoxOfTheSpecification(int lanes)
    {
        var maps = Encode(lanes, [0, 0, 63, 47], [0], [0, 1], Size, 1);
        Assert.Equal(63, maps.Heatmap.Count(value => value > 0));
        Near(10.9490832, maps.Heatmap.Sum(value => (double)value), 1e-6);
        Assert.Equal(1, maps.Heatmap[5 * Size + 7]);
        Near(.7334024, maps.Weight[5 * Size + 7], 1e-6);
    }

    [Theory, MemberData(nameof(Lanes))]
    public void EncodesTheTinyBoxOfTheSpecification(int lanes)
    {
        var maps = Encode(lanes, [200, 200, 211, 207], [0], [0, 1], Size, 1);
        Assert.Equal(51 * 1 + 50 * Size, Array.FindIndex(maps.Heatmap, value => value > 0));
        Assert.Equal(1, maps.Heatmap.Count(value => value > 0));
        Near(4.5643482, maps.Weight[50 * Size + 51], 1e-6);
    }

    [Theory, MemberData(nameof(Lanes))]
    public void SmallerBoxesOverwriteWhateverTheirOrder(int lanes)
    {
        float[] large = [40, 40, 239, 239], small = [120, 120, 183, 183];
        var maps = Encode(lanes, [.. small, .. large], [0, 0], [0, 2], Size, 1);
        var other = Encode(lanes, [.. large, .. small], [0, 0], [0, 2], Size, 1);
        Assert.Equal(maps.Heatmap, other.Heatmap);
        Assert.Equal(maps.Weight, other.Weight);
        Assert.Equal(maps.Boxes, other.Boxes);
        Assert.Equal(small, maps.Boxes.AsSpan(4 * (37 * Size + 37), 4).ToArray());
        Assert.Equal(large, maps.Boxes.AsSpan(4 * (25 * Size + 25), 4).ToArray());
        var alone = Encode(lanes, large, [0], [0, 1], Size, 1);
        Assert.All(Enumerable.Range(0, Size * Size), i => Assert.True(maps.Heatmap[i] >= alone.Heatmap[i]));
    }

    [Theory, MemberData(nameof(Lanes))]
    public void EqualsTheDirectDefinition(int lanes)
    {
        const int height = 24, width = 31, classes = 3, images = 4;
        var random = new Random(4);
        var boxes = new List<float>();
        var labels = new List<int>();
        var offsets = new List<int> { 0 };
        for (int image = 0; image < images; image++)
        {
            for (int i = 0; i < image * 3; i++)
            {
                float x = random.NextSingle() * 120, y = random.NextSingle() * 90;
                boxes.AddRange([x, y, x + random.NextSingle() * 60, y + random.NextSingle() * 60]);
                labels.Add(random.Next(classes));
            }
            offsets.Add(labels.Count);
        }
        foreach (var (alpha, beta) in ((float, float)[])[(0.54f, 0.54f), (0.54f, 0.2f), (0, 1)])
        {
            var maps = Encode(lanes, [.. boxes], [.. labels], [.. offsets], width, classes, height, alpha, beta);
            var expected = Reference([.. boxes], [.. labels], [.. offsets], height, width, classes, alpha, beta);
            KernelTest.Close(expected.Heatmap, maps.Heatmap, new(1e-6, 0), "heatmap");
            KernelTest.Close(expected.Weight, maps.Weight, new(1e-6, 0), "weight");
            Assert.Equal(expected.Boxes, maps.Boxes);
            KernelTest.Deterministic(lanes, test => Encode(test, [.. boxes], [.. labels], [.. offsets], width, classes, height, alpha, beta).Heatmap);
        }
    }

    [Fact]
    public void WrongClassesAndOffsetsAreNamed()
    {
        var label = Assert.Throws<KernelException>(() => Encode(8, [0, 0, 9, 9], [2], [0, 1], Size, 2));
        Assert.Equal("TtfTargets: class of box 0 expects a number below 2 but is 2", label.Message);
        var offsets = Assert.Throws<KernelException>(() => Encode(8, [0, 0, 9, 9], [0], [0, 2], Size, 2));
        Assert.Contains("offsets of image 0", offsets.Message);
    }

    private static void Near(double expected, double got, double tolerance) =>
        Assert.True(Math.Abs(expected - got) <= tolerance, $"{got:R}, expected {expected:R}");

    private static Maps Encode(
        int lanes, float[] boxes, int[] classes, int[] offsets, int width, int classCount, int height = Size, float alpha = 0.54f, float beta = 0.54f)
    {
        using var test = new KernelTest(lanes);
        return Encode(test, boxes, classes, offsets, width, classCount, height, alpha, beta);
    }

    private static Maps Encode(
        KernelTest test, float[] boxes, int[] classes, int[] offsets, int width, int classCount, int height, float alpha, float beta)
    {
        int batch = offsets.Length - 1;
        TensorView heatmap = test.Output(batch, height, width, classCount), target = test.Output(batch, height, width, 4), weight = test.Output(batch, height, width);
        test.Run(new TtfTargets(
            test.Upload(boxes, boxes.Length / 4, 4), test.Upload(classes, classes.Length), test.Upload(offsets, offsets.Length), heatmap, target, weight, alpha, beta));
        return new(test.Read(heatmap), test.Read(target), test.Read(weight));
    }

    private static Maps Reference(float[] boxes, int[] classes, int[] offsets, int height, int width, int classCount, float alpha, float beta)
    {
        int batch = offsets.Length - 1;
        var maps = new Maps(new float[batch * height * width * classCount], new float[batch * height * width * 4], new float[batch * height * width]);
        for (int image = 0; image < batch; image++)
            foreach (int i in Enumerable.Range(offsets[image], offsets[image + 1] - offsets[image]).OrderByDescending(Area))
            {
                var heat = Gaussian(i, alpha);
                foreach (var ((x, y), value) in heat)
                {
                    ref float cell = ref maps.Heatmap[((image * height + y) * width + x) * classCount + classes[i]];
                    cell = MathF.Max(cell, (float)value);
                }
                var region = Gaussian(i, beta);
                double sum = region.Values.Sum();
                foreach (var ((x, y), value) in region)
                {
                    int cell = (image * height + y) * width + x;
                    maps.Weight[cell] = (float)(Math.Log(Area(i)) * value / sum);
                    boxes.AsSpan(4 * i, 4).CopyTo(maps.Boxes.AsSpan(4 * cell));
                }
            }
        return maps;

        float Area(int i) => (boxes[4 * i + 2] - boxes[4 * i] + 1) * (boxes[4 * i + 3] - boxes[4 * i + 1] + 1);

        Dictionary<(int X, int Y), double> Gaussian(int i, float ratio)
        {
            float w = Math.Clamp(boxes[4 * i + 2] / 4, 0, width - 1) - Math.Clamp(boxes[4 * i] / 4, 0, width - 1);
            float h = Math.Clamp(boxes[4 * i + 3] / 4, 0, height - 1) - Math.Clamp(boxes[4 * i + 1] / 4, 0, height - 1);
            int cx = (int)((boxes[4 * i] + boxes[4 * i + 2]) / 2 / 4), cy = (int)((boxes[4 * i + 1] + boxes[4 * i + 3]) / 2 / 4);
            int rx = (int)(w / 2 * ratio), ry = (int)(h / 2 * ratio);
            double sx = (2 * rx + 1) / 6.0, sy = (2 * ry + 1) / 6.0;
            var cells = new Dictionary<(int, int), double>();
            for (int dy = -ry; dy <= ry; dy++)
                for (int dx = -rx; dx <= rx; dx++)
                    if (cx + dx >= 0 && cx + dx < width && cy + dy >= 0 && cy + dy < height)
                        cells[(cx + dx, cy + dy)] = Math.Exp(-dx * dx / (2 * sx * sx) - dy * dy / (2 * sy * sy));
            return cells;
        }
    }
}
