using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class VocMetricTests
{
    private const double Tolerance = 1e-9;

    private static readonly Box First = new(10, 10, 60, 60);
    private static readonly Box Second = new(100, 100, 150, 150);

    [Fact]
    public void OneOfTwoObjectsGivesSixElevenths()
    {
        var result = VocMetric.Evaluate(1, [new(1, 0, First), new(1, 0, Second)], [new(1, 0, First, 0.9)]);
        Assert.Equal(6.0 / 11, result.MeanElevenPoint!.Value, Tolerance);
        Assert.Equal(0.5, result.MeanAllPoint!.Value, Tolerance);
    }

    [Fact]
    public void DifficultObjectsCountNeitherWay()
    {
        var result = VocMetric.Evaluate(1, [new(1, 0, First, Difficult: true), new(1, 0, Second)], [new(1, 0, First, 0.9), new(1, 0, Second, 0.8)]).Classes[0];
        Assert.Equal((1, 1, 0, 1), (result.Positives, result.TruePositives, result.FalsePositives, result.Ignored));
        Assert.Equal(1, result.AllPoint!.Value, Tolerance);
    }

    [Fact]
    public void SecondDetectionOfAnObjectIsFalse()
    {
        var result = VocMetric.Evaluate(1, [new(1, 0, First)], [new(1, 0, First, 0.9), new(1, 0, First, 0.8), new(2, 0, First, 0.7)]).Classes[0];
        Assert.Equal((1, 2), (result.TruePositives, result.FalsePositives));
    }

    [Fact]
    public void ClassesWithoutObjectsAreLeftOutOfTheMean()
    {
        var result = VocMetric.Evaluate(2, [new(1, 0, First)], [new(1, 0, First, 0.9), new(1, 1, First, 0.9)]);
        Assert.Null(result.Classes[1].AllPoint);
        Assert.Equal(1, result.MeanAllPoint!.Value, Tolerance);
        Assert.Null(VocMetric.Evaluate(1, [], []).MeanElevenPoint);
    }

    [Fact]
    public void InclusivePixelsAreOneWider() => Assert.Equal(0.5, VocMetric.Overlap(new Box(0, 0, 9, 9), new Box(0, 0, 9, 4), pixelOffset: 1), Tolerance);

    public static TheoryData<string> GoldenCases()
    {
        var folder = Path.Combine(GoldenFolder.Path, "voc_eval");
        return Directory.Exists(folder) ? [.. Directory.GetFiles(folder, "*.json").Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)] : ["all"];
    }

    [Theory]
    [MemberData(nameof(GoldenCases))]
    public void EqualsTheReference(string name)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(GoldenFolder.Require("voc_eval", name)));
        foreach (var expected in json.RootElement.GetProperty("expected").EnumerateArray())
        {
            var classes = expected.GetProperty("per_class").EnumerateObject().Select(property => property.Name).ToList();
            var images = new Dictionary<string, long>();
            var objects = json.RootElement.GetProperty("ground_truth").EnumerateArray()
                .Select(item => new VocObject(Image(images, item), ClassIndex(classes, item), ToBox(item), item.GetProperty("difficult").GetInt32() != 0));
            var detections = json.RootElement.GetProperty("detections").EnumerateArray()
                .Select(item => new VocDetection(Image(images, item), ClassIndex(classes, item), ToBox(item), item.GetProperty("score").GetDouble()));
            var result = VocMetric.Evaluate(
                classes.Count, [.. objects], [.. detections], expected.GetProperty("iou_threshold").GetDouble(), expected.GetProperty("pixel_offset").GetDouble());
            for (var i = 0; i < classes.Count; i++) CompareClass(expected.GetProperty("per_class").GetProperty(classes[i]), result.Classes[i]);
            AssertNumber(expected.GetProperty("map11"), result.MeanElevenPoint);
            AssertNumber(expected.GetProperty("map11_exact"), result.MeanElevenPointExact);
            AssertNumber(expected.GetProperty("map_all"), result.MeanAllPoint);
        }
    }

    private static void CompareClass(JsonElement expected, VocClassResult actual)
    {
        string[] names = ["npos", "num_det", "tp", "fp", "ignored"];
        int[] counts = [actual.Positives, actual.Detections, actual.TruePositives, actual.FalsePositives, actual.Ignored];
        Assert.Equal(names.Select(name => expected.GetProperty(name).GetInt32()), counts);
        AssertNumber(expected.GetProperty("ap11"), actual.ElevenPoint);
        AssertNumber(expected.GetProperty("ap11_exact"), actual.ElevenPointExact);
        AssertNumber(expected.GetProperty("ap_all"), actual.AllPoint);
    }

    private static void AssertNumber(JsonElement expected, double? actual)
    {
        if (expected.ValueKind == JsonValueKind.Null) Assert.Null(actual);
        else Assert.Equal(expected.GetDouble(), Assert.NotNull(actual), Tolerance);
    }

    private static long Image(Dictionary<string, long> images, JsonElement item)
    {
        var name = item.GetProperty("image").GetString()!;
        if (!images.TryGetValue(name, out var id)) images[name] = id = images.Count;
        return id;
    }

    private static int ClassIndex(List<string> classes, JsonElement item)
    {
        var index = classes.IndexOf(item.GetProperty("class").GetString()!);
        Assert.True(index >= 0);
        return index;
    }

    private static Box ToBox(JsonElement item)
    {
        var box = item.GetProperty("box");
        return new Box(box[0].GetDouble(), box[1].GetDouble(), box[2].GetDouble(), box[3].GetDouble());
    }
}
