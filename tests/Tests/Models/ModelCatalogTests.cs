using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class ModelCatalogTests
{
    [Theory]
    [InlineData("ttfnet-18", 80, 14_208_933)]
    [InlineData("ttfnet-18", 20, 14_201_193)]
    [InlineData("ttfnet-34", 80, 24_354_021)]
    [InlineData("ttfnet-34", 20, 24_346_281)]
    [InlineData("ttfnet-53", 80, 45_732_485)]
    [InlineData("ttfnet-53", 20, 45_724_745)]
    public void ParametersAreAsSpecified(string name, int classes, long expected) =>
        Assert.Equal(expected, ModelSummary.Of(name, classes, 64).Parameters);

    [Theory]
    [InlineData("ttfnet-18", 9.475, 9.153)]
    [InlineData("ttfnet-34", 19.139, 9.757)]
    [InlineData("ttfnet-53", 37.136, 11.902)]
    public void CostIsAsSpecified(string name, double backbone, double rest)
    {
        var summary = ModelSummary.Of(name, 80, 512);
        Assert.Equal(backbone, summary.Stages.Take(4).Sum(s => s.Gmac), 3);
        Assert.Equal(rest, summary.Stages.Skip(4).Sum(s => s.Gmac), 3);
        Assert.Equal(summary.Gmac, summary.Stages.Sum(s => s.Gmac), 9);
    }

    [Fact]
    public void StagesShowTheirShapes()
    {
        var stages = ModelSummary.Of("ttfnet-18", 20, 512).Stages;
        Assert.Equal(
            [
                "c2 1x128x128x64", "c3 1x64x64x128", "c4 1x32x32x256", "c5 1x16x16x512", "up1 1x32x32x256", "up2 1x64x64x128",
                "up3 1x128x128x64", "heatmap 1x128x128x20", "size 1x128x128x4",
            ],
            stages.Select(s => $"{s.Name} {string.Join('x', s.Shape)}"));
    }

    [Fact]
    public void NanoIsTtfNet18WithEveryWidthDividedByFour()
    {
        var full = ModelSummary.Of("ttfnet-18", 5, 64).Stages;
        var nano = ModelSummary.Of("ttfnet-nano", 5, 64).Stages;
        Assert.All(full.Zip(nano).SkipLast(2), pair => Assert.Equal(pair.First.Shape[3], 4 * pair.Second.Shape[3]));
        Assert.Equal([5, 4], nano.TakeLast(2).Select(s => s.Shape[3]));
    }

    [Fact]
    public void WrongNameOffersTheNearest()
    {
        string message = Assert.Throws<DataException>(() => ModelCatalog.Create("ttfnet-nana", ["thing"])).Message;
        Assert.Contains("did you mean ttfnet-nano", message);
        Assert.Contains("ttfnet-53", message);
    }

    [Fact]
    public void ImageSizeMustSuitTheStrides() =>
        Assert.Contains("multiple of 32 up to 8192 but is 500", Assert.Throws<DataException>(() => ModelSummary.Of("ttfnet-18", 80, 500)).Message);

    [Fact]
    public void NoClassesIsAnError() => Assert.Throws<DataException>(() => ModelCatalog.Create("ttfnet-18", []));
}
