using Xunit;

namespace CudaKernels.Tests;

public class GoldenFileTests
{
    [Fact]
    public void ReadsShapesTypesAndMetadata()
    {
        var path = GoldenFolder.Require("coco_eval", "single_perfect", "eval_bbox.safetensors");
        var file = GoldenFile.Load(path);
        Assert.Equal([10, 101, 1, 4, 3], file.Shape("precision"));
        Assert.Equal(10 * 101 * 4 * 3, file.F64("precision").Length);
        Assert.NotEmpty(file.Metadata);
        Assert.False(file.Has("absent"));
    }

    [Fact]
    public void ListsTheCasesOfAnOperator()
    {
        foreach (var path in GoldenFolder.Cases("conv2d")) Assert.Equal("conv2d", GoldenFile.Load(path).Metadata["op"]);
    }
}
