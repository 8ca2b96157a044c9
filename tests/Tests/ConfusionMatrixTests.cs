using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class ConfusionMatrixTests
{
    [Fact]
    public void CountsHitsConfusionsMissesAndInventions()
    {
        var matrix = Compute(
            [Object(1, 1, 0), Object(2, 1, 100), Object(3, 2, 200), Object(4, 2, 300) with { IsCrowd = true }],
            [
                Found(1, 0, 0.9), Found(1, 2, 0.8), // the second one on the same object is an invention
                Found(2, 101, 0.9),                 // class two where class one is
                Found(1, 200, 0.1),                 // below the score threshold: object 3 is missed
                Found(2, 300, 0.9),                 // in a crowd: dropped
            ]);
        Assert.Equal(["one", "two", "background"], matrix.Names);
        Assert.Equal(new long[,] { { 1, 1, 0 }, { 0, 0, 1 }, { 1, 0, 0 } }, matrix.Counts);
    }

    [Fact]
    public void TheCloserDetectionWinsWhateverItsScore()
    {
        var matrix = Compute([Object(1, 1, 0)], [Found(2, 5, 0.9), Found(1, 1, 0.4)]);
        Assert.Equal(new long[,] { { 1, 0, 0 }, { 0, 0, 0 }, { 0, 1, 0 } }, matrix.Counts);
    }

    [Fact]
    public void WritesJson()
    {
        using var json = JsonDocument.Parse(Compute([Object(1, 1, 0)], []).ToJson());
        Assert.Equal("background", json.RootElement.GetProperty("classes")[2].GetString());
        Assert.Equal(1, json.RootElement.GetProperty("counts")[0][2].GetInt32());
    }

    private static CocoAnnotation Object(long id, long category, double x) => new(id, 1, category, x, 0, 50, 50, 2500);

    private static CocoDetection Found(long category, double x, double score) => new(1, category, x, 0, 50, 50, score);

    private static ConfusionMatrix Compute(CocoAnnotation[] objects, CocoDetection[] detections) =>
        ConfusionMatrix.Compute(new CocoGroundTruth([new(1, "1.jpg", 640, 480)], [new(2, "two"), new(1, "one")], objects), detections);
}
