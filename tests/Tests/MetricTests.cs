using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class MetricTests
{
    private const double Tolerance = 1e-9;

    [Fact]
    public void FalsePositiveBeforeTheObjectHalvesPrecision()
    {
        var result = Evaluate([Object(1, 10, 10, 50, 50)], [Found(0.9, 200, 200, 50, 50), Found(0.8, 10, 10, 50, 50)]);
        Assert.Equal(0.5, result["AP"], Tolerance);
        Assert.Equal(1, result["AR100"], Tolerance);
        Assert.Equal(0, result["AR1"], Tolerance);
    }

    [Fact]
    public void OneOfTwoObjectsReaches51Of101RecallPoints()
    {
        var result = Evaluate([Object(1, 10, 10, 50, 50), Object(2, 100, 100, 50, 50)], [Found(0.9, 10, 10, 50, 50)]);
        Assert.Equal(51.0 / 101, result["AP"], Tolerance);
        Assert.Equal(0.5, result["AR100"], Tolerance);
    }

    [Fact]
    public void ClassWithOnlyACrowdIsLeftOut()
    {
        var crowd = Object(1, 10, 10, 50, 50) with { IsCrowd = true };
        var result = Evaluate([crowd, Object(2, 0, 0, 40, 40, category: 2)], [Found(0.9, 10, 10, 50, 50), Found(0.9, 0, 0, 40, 40, category: 2)]);
        Assert.Equal(-1, result.AveragePrecision(category: 0));
        Assert.Equal(1, result["AP"], Tolerance);
        Assert.Equal("-", result.Table()[1][1]);
    }

    [Fact]
    public void ManyDetectionsInACrowdCountNeitherWay()
    {
        var crowd = Object(1, 100, 100, 200, 200) with { IsCrowd = true };
        var result = Evaluate(
            [crowd, Object(2, 0, 0, 40, 40)],
            [Found(0.9, 110, 110, 20, 20), Found(0.8, 150, 150, 20, 20), Found(0.7, 0, 0, 40, 40)]);
        Assert.Equal(1, result["AP"], Tolerance);
    }

    [Fact]
    public void SizeClassesIncludeBothEnds()
    {
        var result = Evaluate([Object(1, 0, 0, 32, 32)], [Found(0.9, 0, 0, 32, 32)]);
        Assert.Equal(1, result["APsmall"], Tolerance);
        Assert.Equal(1, result["APmedium"], Tolerance);
        Assert.Equal(-1, result["APlarge"]);
    }

    [Fact]
    public void AnIdOfZeroMatchesLikeAnyOther()
    {
        Assert.Equal(1, Evaluate([Object(0, 10, 10, 50, 50)], [Found(0.9, 10, 10, 50, 50)])["AP"], Tolerance);
    }

    [Fact]
    public void NamesTheTwelveNumbersAndWritesThemAsJson()
    {
        string[] names = ["AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge", "AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"];
        var result = Evaluate([Object(1, 10, 10, 50, 50)], [Found(0.9, 10, 10, 50, 50)]);
        Assert.Equal(names, result.Stats.Select(stat => stat.Name));
        using var json = JsonDocument.Parse(result.ToJson());
        Assert.Equal(names, json.RootElement.GetProperty("stats").EnumerateObject().Select(property => property.Name));
        Assert.Equal("one", json.RootElement.GetProperty("per_class")[0].GetProperty("name").GetString());
    }

    [Fact]
    public void RefusesUnsortedLimits()
    {
        var error = Assert.Throws<ArgumentException>(() => new EvalParameters { MaxDetections = [100, 10] }.Validate());
        Assert.Contains("100,10", error.Message);
    }

    [Fact]
    public void DefaultThresholdsAreTheReferencesBits()
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(GoldenFolder.Require("coco_eval", "params.json")));
        var parameters = new EvalParameters();
        Assert.Equal(Doubles(json.RootElement.GetProperty("iouThrs")), parameters.IouThresholds);
        Assert.Equal(Doubles(json.RootElement.GetProperty("recThrs")), parameters.RecallPoints);
    }

    public static TheoryData<string> GoldenCases()
    {
        var folder = Path.Combine(GoldenFolder.Path, "coco_eval");
        return Directory.Exists(folder)
            ? [.. Directory.GetDirectories(folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)]
            : ["all"];
    }

    [Theory]
    [MemberData(nameof(GoldenCases))]
    public void EqualsTheReference(string name)
    {
        var folder = GoldenFolder.Require("coco_eval", name);
        using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));
        var compared = 0;
        foreach (var (type, kind) in new[] { ("bbox", OverlapKind.Box), ("segm", OverlapKind.Mask) })
        {
            if (!expected.RootElement.TryGetProperty(type, out var numbers)) continue;
            var truth = CocoFiles.ReadGroundTruth(Path.Combine(folder, "gt.json"), masks: kind == OverlapKind.Mask);
            var detections = CocoFiles.ReadDetections(Path.Combine(folder, $"dt_{type}.json"), truth, kind);
            var result = CocoMetric.Evaluate(truth, detections, Parameters(expected.RootElement.GetProperty("params")) with { Kind = kind });
            var written = JsonDocument.Parse(result.ToJson()).RootElement;
            if (numbers.GetProperty("stats").ValueKind == JsonValueKind.Object) CompareObject(numbers.GetProperty("stats"), written.GetProperty("stats"), type);
            var perClass = numbers.GetProperty("per_class").EnumerateArray().ToArray();
            Assert.Equal(perClass.Length, result.Categories.Count);
            for (var i = 0; i < perClass.Length; i++) CompareObject(perClass[i], written.GetProperty("per_class")[i], $"{type} class {i}");
            Assert.Equal(numbers.GetProperty("mAP_over_all").GetDouble(), result["AP"], Tolerance);
            CompareArrays(Path.Combine(folder, $"eval_{type}.safetensors"), result);
            compared++;
        }
        Assert.True(compared > 0, $"{name} has neither bbox nor segm numbers");
    }

    private static void CompareObject(JsonElement expected, JsonElement actual, string where)
    {
        foreach (var property in expected.EnumerateObject())
        {
            var value = actual.GetProperty(property.Name);
            if (property.Value.ValueKind == JsonValueKind.String) Assert.Equal(property.Value.GetString(), value.GetString());
            else if (property.Value.ValueKind == JsonValueKind.Array) AssertClose(Doubles(property.Value), Doubles(value), $"{where} {property.Name}");
            else AssertClose([property.Value.GetDouble()], [value.GetDouble()], $"{where} {property.Name}");
        }
    }

    private static void CompareArrays(string path, CocoResult result)
    {
        if (!File.Exists(path)) return;
        var file = GoldenFile.Load(path);
        AssertClose(file.F64("precision"), result.Precision, "precision");
        AssertClose(file.F64("recall"), result.Recall, "recall");
        AssertClose(file.F64("scores"), result.Scores, "scores");
    }

    private static void AssertClose(double[] expected, double[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= Tolerance, $"{what}[{i}]: expected {expected[i]}, got {actual[i]}");
    }

    private static EvalParameters Parameters(JsonElement json)
    {
        var parameters = new EvalParameters();
        if (json.TryGetProperty("iouThrs", out var thresholds)) parameters = parameters with { IouThresholds = Doubles(thresholds) };
        if (json.TryGetProperty("maxDets", out var limits)) parameters = parameters with { MaxDetections = [.. limits.EnumerateArray().Select(limit => limit.GetInt32())] };
        if (json.TryGetProperty("areaRng", out var ranges))
            parameters = parameters with
            {
                Areas = [.. ranges.EnumerateArray().Zip(json.GetProperty("areaRngLbl").EnumerateArray())
                    .Select(pair => new AreaRange(pair.Second.GetString()!, pair.First[0].GetDouble(), pair.First[1].GetDouble()))],
            };
        if (json.TryGetProperty("useCats", out var useCategories)) parameters = parameters with { UseCategories = useCategories.GetInt32() != 0 };
        if (json.TryGetProperty("imgIds", out var images)) parameters = parameters with { ImageIds = [.. images.EnumerateArray().Select(id => id.GetInt64())] };
        if (json.TryGetProperty("catIds", out var categories)) parameters = parameters with { CategoryIds = [.. categories.EnumerateArray().Select(id => id.GetInt64())] };
        return parameters;
    }

    private static double[] Doubles(JsonElement list) => [.. list.EnumerateArray().Select(value => value.GetDouble())];

    private static CocoAnnotation Object(long id, double x, double y, double width, double height, long category = 1) =>
        new(id, 1, category, x, y, width, height, width * height);

    private static CocoDetection Found(double score, double x, double y, double width, double height, long category = 1) =>
        new(1, category, x, y, width, height, score);

    private static CocoResult Evaluate(CocoAnnotation[] objects, CocoDetection[] detections) =>
        CocoMetric.Evaluate(new CocoGroundTruth([new(1, "1.jpg", 640, 480)], [new(1, "one"), new(2, "two")], objects), detections);
}
