using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public sealed class CocoFilesTests : IDisposable
{
    private const string Truth = """
        {"images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 8}], "categories": [{"id": 3, "name": "cat"}],
         "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}]}
        """;

    private readonly string folder = Directory.CreateTempSubdirectory("coco-files-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void ReadsWhatAnEvaluationNeeds()
    {
        var truth = CocoFiles.ReadGroundTruth(Write("\uFEFF" + Truth));
        Assert.Equal(new CocoAnnotation(1, 1, 3, 1, 2, 3, 4, 12), Assert.Single(truth.Annotations));
        var detections = CocoFiles.ReadDetections(Write("""[{"image_id": 1.0, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5, "extra": {"a": [1]}}]"""), truth);
        Assert.Equal(new CocoDetection(1, 3, 1, 2, 3, 4, 0.5), Assert.Single(detections));
    }

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{\"images\": [", "not valid JSON at line 1")]
    [InlineData("[]", "an object with images, annotations and categories")]
    [InlineData("{\"images\": [], \"categories\": []}", "the key annotations is missing")]
    [InlineData("{\"images\": 3}", "a list of images objects")]
    [InlineData("{\"images\": [{\"id\": 1}, {\"id\": 1}], \"annotations\": [], \"categories\": []}", "images[1]: id 1 is used twice")]
    [InlineData("{\"images\": [{\"file_name\": \"a\"}]}", "images[0]: the key id is missing")]
    [InlineData("{\"images\": [{\"id\": \"x\"}]}", "images[0]: id must be an integer, found a text")]
    [InlineData("{\"images\": [], \"annotations\": [{\"bbox\": [1, 2, 3]}]}", "annotations[0]: bbox needs four numbers")]
    [InlineData("{\"images\": [], \"annotations\": [{\"bbox\": [1, 2, -3, 4]}]}", "annotations[0]: bbox has a negative width or height")]
    [InlineData("{\"images\": [], \"annotations\": [{\"bbox\": [1, 2, 1e999, 4]}]}", "annotations[0]: bbox is too large a number")]
    [InlineData("{\"images\": [], \"annotations\": [{\"bbox\": [1, 2, NaN, 4]}]}", "NaN and Infinity are not JSON")]
    [InlineData("{\"images\": [], \"categories\": [], \"annotations\": [{\"id\":1, \"image_id\":9, \"category_id\":1, \"bbox\": [1, 2, 3, 4]}]}",
        "annotations[0]: image_id 9 is not among the images")]
    [InlineData("{\"images\": [], \"images\": []}", "images stands twice")]
    public void NamesWhatIsWrongInGroundTruth(string text, string message)
    {
        var path = Write(text);
        var error = Assert.Throws<DataException>(() => CocoFiles.ReadGroundTruth(path));
        Assert.StartsWith(path + ": ", error.Message);
        Assert.Contains(message, error.Message);
    }

    [Theory]
    [InlineData("[{\"image_id\": 1, \"category_id\": 3, \"bbox\": [1, 2, 3, 4]}]", "detection[0]: the key score is missing")]
    [InlineData("[{\"image_id\": 7, \"category_id\": 3, \"bbox\": [1, 2, 3, 4], \"score\": 1}]", "image_id 7 is not among the images")]
    [InlineData("[{\"image_id\": 1, \"category_id\": 4, \"bbox\": [1, 2, 3, 4], \"score\": 1}]", "category_id 4 is not among the categories of the ground truth (3)")]
    [InlineData("[{\"image_id\": 1, \"category_id\": 3, \"bbox\": [1, 2, 3, 4], \"score\": null}]", "score must be a number, found null")]
    [InlineData("[{\"image_id\": 1, \"category_id\": 3, \"bbox\": [1, 2, 3, 4], \"score\": 1}] 5", "not valid JSON")]
    [InlineData("{}", "a list of detection objects")]
    public void NamesWhatIsWrongInDetections(string text, string message)
    {
        var truth = CocoFiles.ReadGroundTruth(Write(Truth));
        var path = Write(text);
        Assert.Contains(message, Assert.Throws<DataException>(() => CocoFiles.ReadDetections(path, truth)).Message);
    }

    [Theory]
    [InlineData("[]", "segmentation is empty")]
    [InlineData("[[1, 2, 3]]", "a polygon of 3 numbers")]
    [InlineData("{\"counts\": [80]}", "must be height and width")]
    [InlineData("{\"size\": [8, 10], \"counts\": [79]}", "add up to 80 pixels, these add up to 79")]
    [InlineData("{\"size\": [8, 10], \"counts\": \" \"}", "not part of the format")]
    public void NamesWhatIsWrongInSegmentations(string segmentation, string message)
    {
        var path = Write(Truth.Replace("\"bbox\"", $"\"segmentation\": {segmentation}, \"bbox\"", StringComparison.Ordinal));
        var error = Assert.Throws<DataException>(() => CocoFiles.ReadGroundTruth(path, masks: true));
        Assert.Contains("annotations[0]: ", error.Message);
        Assert.Contains(message, error.Message);
    }

    [Fact]
    public void NamesFilesThatCannotBeRead()
    {
        Assert.Contains("cannot be read", Assert.Throws<DataException>(() => CocoFiles.ReadGroundTruth(Path.Combine(folder, "absent.json"))).Message);
        Assert.Contains("is a folder", Assert.Throws<DataException>(() => CocoFiles.ReadGroundTruth(folder)).Message);
    }

    private string Write(string text)
    {
        var path = Path.Combine(folder, Guid.NewGuid().ToString("N") + ".json");
        File.WriteAllText(path, text);
        return path;
    }
}
