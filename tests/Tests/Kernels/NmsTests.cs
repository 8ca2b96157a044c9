using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class NmsTests
{
    public static TheoryData<int> Lanes => KernelTest.Lanes;

    [Theory, MemberData(nameof(Lanes))]
    public void NmsEqualsGolden(int lanes) => EqualsGolden(lanes, "nms");

    [Theory, MemberData(nameof(Lanes))]
    public void BatchedNmsEqualsGolden(int lanes) => EqualsGolden(lanes, "batched_nms");

    [Theory, MemberData(nameof(Lanes))]
    public void EqualsTheDirectLoop(int lanes)
    {
        foreach (int count in (int[])[0, 1, 5, 63, 64, 65, 129, 700, 1500])
            foreach (float offset in (float[])[0, 1])
                foreach (bool classed in (bool[])[false, true])
                {
                    float[] boxes = RandomBoxes(count, count), scores = KernelTest.Random(count + 1, count);
                    for (int i = 0; i < count; i++)
                        scores[i] = MathF.Round(scores[i] * 50) / 50; // many ties, and −0 beside +0
                    int[] classes = [.. Enumerable.Range(0, count).Select(i => i * 7 % 3)];
                    using var test = new KernelTest(lanes);
                    Assert.Equal(Reference(boxes, scores, classed ? classes : null, 0.4f, offset), Run(test, boxes, scores, classed ? classes : null, 0.4f, offset));
                }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void NotANumberScoresComeLast(int lanes)
    {
        using var test = new KernelTest(lanes);
        Assert.Equal([2, 0, 1], Run(test, [0, 0, 1, 1, 5, 5, 6, 6, 9, 9, 10, 10], [-1f, float.NaN, 0.5f], null, 0.5f, 0));
    }

    [Theory, MemberData(nameof(Lanes))]
    public void ResultDoesNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        int count = KernelTest.Smaller(lanes, 3000, 300);
        return Array.ConvertAll(Run(test, RandomBoxes(count, 1), KernelTest.Random(2, count), null, 0.3f, 0), i => (float)i);
    });

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(8);
        var keep = test.Output(new Shape(3), DType.I32);
        var count = test.Output(new Shape(1), DType.I32);
        var error = Assert.Throws<KernelException>(() => test.Run(new Nms(test.Ones(3, 4), test.Ones(4), keep, count, 0.5f)));
        Assert.Equal("Nms: scores expects f32[3] but is f32[4]", error.Message);
    }

    private static int[] Run(KernelTest test, float[] boxes, float[] scores, int[]? classes, float threshold, float offset)
    {
        int length = scores.Length;
        TensorView keep = test.Output(new Shape(length), DType.I32), count = test.Output(new Shape(1), DType.I32);
        test.Run(new Nms(test.Upload(boxes, length, 4), test.Upload(scores, length), keep, count, threshold, classes is null ? default : test.Upload(classes, length), offset));
        int kept = test.ReadInts(count)[0];
        Assert.All(test.ReadInts(keep)[kept..], index => Assert.Equal(-1, index));
        return test.ReadInts(keep)[..kept];
    }

    private static void EqualsGolden(int lanes, string op)
    {
        foreach (string path in GoldenFolder.Cases(op))
        {
            using var test = new KernelTest(lanes);
            var file = GoldenFile.Load(path);
            int[]? classes = file.Has("idxs") ? Array.ConvertAll(file.I64("idxs"), value => (int)value) : null;
            int[] keep = Run(test, file.F32("boxes"), file.F32("scores"), classes, file.Attribute("iou_threshold")!.Value.GetSingle(), 0);
            Assert.Equal(file.I64("keep").Select(value => (int)value), keep);
        }
    }

    private static int[] Reference(float[] boxes, float[] scores, int[]? classes, float threshold, float offset)
    {
        var kept = new List<int>();
        foreach (int i in Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i]))
            if (!kept.Any(k => (classes is null || classes[k] == classes[i]) && Iou(boxes, k, i, offset) > threshold))
                kept.Add(i);
        return [.. kept];
    }

    private static float Iou(float[] boxes, int a, int b, float offset)
    {
        float Area(int i) => (boxes[4 * i + 2] - boxes[4 * i] + offset) * (boxes[4 * i + 3] - boxes[4 * i + 1] + offset);
        float width = MathF.Max(0, MathF.Min(boxes[4 * a + 2], boxes[4 * b + 2]) - MathF.Max(boxes[4 * a], boxes[4 * b]) + offset);
        float height = MathF.Max(0, MathF.Min(boxes[4 * a + 3], boxes[4 * b + 3]) - MathF.Max(boxes[4 * a + 1], boxes[4 * b + 1]) + offset);
        return width * height / (Area(a) + Area(b) - width * height);
    }

    private static float[] RandomBoxes(int count, int seed)
    {
        var boxes = KernelTest.Random(seed, 4 * count, 60);
        for (int i = 0; i < count; i++)
        {
            boxes[4 * i + 2] = boxes[4 * i] + MathF.Abs(boxes[4 * i + 2]) / 2;
            boxes[4 * i + 3] = boxes[4 * i + 1] + MathF.Abs(boxes[4 * i + 3]) / 2;
        }
        return boxes;
    }
}
