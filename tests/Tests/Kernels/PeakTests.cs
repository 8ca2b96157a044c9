using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class PeakTests
{
    public static TheoryData<int> Lanes => KernelTest.Lanes;

    [Theory, MemberData(nameof(Lanes))]
    public void EqualsPerClassThenOverallSelection(int lanes)
    {
        foreach (var (batch, height, width, classes, k) in ((int, int, int, int, int)[])
            [(1, 1, 1, 1, 1), (2, 9, 7, 3, 10), (1, 17, 16, 8, 25), (3, 8, 8, 20, 100), (1, 20, 33, 17, 100), (0, 4, 4, 2, 5), (1, 1, 40, 5, 7)])
        {
            using var test = new KernelTest(lanes);
            var logits = KernelTest.Random(height * width, (long)batch * height * width * classes, 6);
            for (int i = 0; i < logits.Length; i++)
                logits[i] = MathF.Round(logits[i] * 4) / 4; // plateaus and ties
            TensorView map = test.Upload(logits, batch, height, width, classes);
            var (scores, labels, cells) = Run(test, map, k);
            for (int n = 0; n < batch; n++)
            {
                var expected = Reference(logits.AsSpan(n * height * width * classes, height * width * classes).ToArray(), height, width, classes, k);
                Assert.Equal(expected.Select(peak => peak.Class), labels.Skip(n * k).Take(k));
                Assert.Equal(expected.Select(peak => peak.Cell), cells.Skip(n * k).Take(k));
                KernelTest.Close([.. expected.Select(peak => peak.Score)], scores.AsSpan(n * k, k), new(0, 1e-6), "scores");
            }
        }
    }

    [Theory, MemberData(nameof(Lanes))]
    public void APlateauKeepsAllItsCellsInOrder(int lanes)
    {
        using var test = new KernelTest(lanes);
        var (scores, labels, cells) = Run(test, test.Fill([1, 2, 3, 2], 0), 14);
        Assert.Equal([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, -1, -1], cells);
        Assert.Equal([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, -1, -1], labels);
        Assert.Equal([.. Enumerable.Repeat(0.5f, 12), 0f, 0f], scores);
    }

    [Theory, MemberData(nameof(Lanes))]
    public void ResultDoesNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var (scores, labels, cells) = Run(test, test.Upload(KernelTest.Random(3, 2 * 40 * 40 * 11), 2, 40, 40, 11), 100);
        return [.. scores, .. labels.Select(i => (float)i), .. cells.Select(i => (float)i)];
    });

    private static (float[] Scores, int[] Classes, int[] Cells) Run(KernelTest test, TensorView map, int k)
    {
        var shape = new Shape(map.Shape[0], k);
        TensorView scores = test.Output(shape), classes = test.Output(shape, DType.I32), cells = test.Output(shape, DType.I32);
        test.Run(new PeakTopK(map, scores, classes, cells, k));
        return (test.Read(scores), test.ReadInts(classes), test.ReadInts(cells));
    }

    private static List<(double Score, int Class, int Cell)> Reference(float[] logits, int height, int width, int classes, int k)
    {
        var all = new List<(double Score, int Class, int Cell)>();
        for (int c = 0; c < classes; c++)
        {
            float At(int y, int x) => y < 0 || x < 0 || y >= height || x >= width ? float.NegativeInfinity : logits[(y * width + x) * classes + c];
            var peaks = new List<(double Score, int Class, int Cell)>();
            for (int cell = 0; cell < height * width; cell++)
            {
                float largest = Enumerable.Range(0, 9).Max(i => At(cell / width + i / 3 - 1, cell % width + i % 3 - 1));
                if (At(cell / width, cell % width) == largest)
                    peaks.Add((1 / (1 + Math.Exp(-largest)), c, cell));
            }
            all.AddRange(peaks.OrderByDescending(peak => peak.Score).Take(k));
        }
        var best = all.OrderByDescending(peak => peak.Score).Take(k).ToList();
        best.AddRange(Enumerable.Repeat((0.0, -1, -1), k - best.Count));
        return best;
    }
}
