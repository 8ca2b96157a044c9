using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class RleTests
{
    [Theory]
    [InlineData(7, 8, new double[] { 2, 1, 6, 1, 6, 5, 2, 5 }, "15 4 3 4 3 4 3 4 16", 16, "?4300000=")]
    [InlineData(7, 8, new[] { 1.5, 1.5, 6.5, 1.5, 6.5, 4.5, 1.5, 4.5 }, "16 3 4 3 4 3 4 3 4 3 9", 15, "`03400000005")]
    [InlineData(7, 8, new double[] { 1, 1, 7, 3, 3, 6 }, "8 1 6 4 4 4 3 3 4 2 17", 14, "8163N0OO1O=")]
    [InlineData(5, 5, new[] { -1, -1, 3.2, -1, 3.2, 2.6, -1, 2.6 }, "0 3 2 3 2 3 12", 9, "032000:")]
    [InlineData(7, 8, new double[] { 0, 0, 8, 0, 8, 7, 0, 7 }, "0 56", 56, "0h1")]
    public void RasterizesThePolygonsOfTheSpecification(int height, int width, double[] polygon, string counts, long area, string text)
    {
        var mask = PolygonRasterizer.ToRle(polygon, height, width);
        Assert.Equal(counts, string.Join(' ', mask.Counts));
        Assert.Equal(area, mask.Area);
        Assert.Equal(text, mask.ToString());
        Assert.Equal(mask.Counts, Rle.Parse(text, height, width).Counts);
    }

    [Fact]
    public void BoundsCoverAllRowsOfARunThatTurnsAColumn()
    {
        Assert.Equal((1, 0, 2, 4), new Rle(4, 4, [6, 4, 6]).Bounds);
        Assert.Equal((0, 0, 0, 0), new Rle(4, 4, [16]).Bounds);
    }

    [Fact]
    public void CrowdOverlapDividesByTheDetection()
    {
        var small = Rle.FromBox(0, 0, 2, 2, 8, 8);
        var large = Rle.FromBox(0, 0, 4, 4, 8, 8);
        Assert.Equal(0.25, Rle.Overlap(small, large, crowd: false));
        Assert.Equal(1, Rle.Overlap(small, large, crowd: true));
        Assert.Equal(0, Rle.Overlap(small, Rle.FromBox(5, 5, 2, 2, 8, 8), crowd: false));
        Assert.Equal(small.Counts, Rle.Intersection(small, large).Counts);
        Assert.Equal(large.Counts, Rle.Union([small, large], 8, 8).Counts);
    }

    [Theory]
    [InlineData("P", "ends inside")]
    [InlineData("0 ", "character ' '")]
    [InlineData("09", "add up to 16")]
    [InlineData("0O", "count 1")]
    [InlineData("oooooooooooooooo", "too long")]
    public void RefusesDamagedStrings(string text, string message) =>
        Assert.Contains(message, Assert.Throws<FormatException>(() => Rle.Parse(text, 4, 4)).Message);

    [Fact]
    public void RefusesPolygonsThatMakeNoSense()
    {
        Assert.Throws<FormatException>(() => PolygonRasterizer.ToRle([1, 2, 3], 4, 4));
        Assert.Throws<FormatException>(() => PolygonRasterizer.ToRle([1e12, 2, 3, 4, 5, 6], 4, 4));
        Assert.Throws<FormatException>(() => PolygonRasterizer.ToRle([double.NaN, 2, 3, 4, 5, 6], 4, 4));
    }

    [Fact]
    public void PolygonsEqualTheReference()
    {
        foreach (var item in Items("polygons.json"))
        {
            var (height, width) = Size(item);
            var parts = item.GetProperty("polygons").EnumerateArray().Select(polygon => PolygonRasterizer.ToRle(Doubles(polygon), height, width)).ToArray();
            Assert.Equal(Texts(item.GetProperty("parts")), parts.Select(part => part.ToString()));
            var union = Rle.Union(parts, height, width);
            Assert.Equal(item.GetProperty("counts").GetString(), union.ToString());
            Assert.Equal(Longs(item.GetProperty("runs")), union.Counts);
            Assert.Equal(item.GetProperty("area").GetInt64(), union.Area);
            Assert.Equal(Doubles(item.GetProperty("bbox")), Box(union));
        }
    }

    [Fact]
    public void MasksEqualTheReference()
    {
        foreach (var item in Items("masks.json"))
        {
            var (height, width) = Size(item);
            var masks = item.GetProperty("runs").EnumerateArray().Select(runs => new Rle(height, width, Longs(runs))).ToArray();
            Assert.Equal(Texts(item.GetProperty("counts")), masks.Select(mask => mask.ToString()));
            Assert.Equal(Texts(item.GetProperty("counts")), Texts(item.GetProperty("counts")).Select(text => Rle.Parse(text, height, width).ToString()));
            Assert.Equal(Longs(item.GetProperty("area")), masks.Select(mask => mask.Area));
            Assert.Equal(item.GetProperty("bbox").EnumerateArray().Select(Doubles), masks.Select(Box));
            Assert.Equal(item.GetProperty("union").GetString(), Rle.Union(masks, height, width).ToString());
            Assert.Equal(item.GetProperty("intersection").GetString(), masks.Aggregate(Rle.Intersection).ToString());
            var crowds = Longs(item.GetProperty("iscrowd"));
            Assert.Equal(
                item.GetProperty("iou").EnumerateArray().Select(Doubles),
                masks.Select(detection => masks.Select((found, i) => Rle.Overlap(detection, found, crowds[i] != 0)).ToArray()));
        }
    }

    [Fact]
    public void BoxesEqualTheReference()
    {
        foreach (var item in Items("boxes_to_rle.json"))
        {
            var (height, width) = Size(item);
            var masks = item.GetProperty("xywh").EnumerateArray().Select(Doubles).Select(box => Rle.FromBox(box[0], box[1], box[2], box[3], height, width)).ToArray();
            Assert.Equal(Texts(item.GetProperty("counts")), masks.Select(mask => mask.ToString()));
            Assert.Equal(Longs(item.GetProperty("area")), masks.Select(mask => mask.Area));
        }
        foreach (var item in Items("box_iou.json"))
        {
            var truth = item.GetProperty("gt_xywh").EnumerateArray().Select(Doubles).ToArray();
            var crowds = Longs(item.GetProperty("iscrowd"));
            Assert.Equal(
                item.GetProperty("iou").EnumerateArray().Select(Doubles),
                item.GetProperty("dt_xywh").EnumerateArray().Select(Doubles).Select(a => truth
                    .Select((b, i) => CocoOverlap.Overlap(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], crowds[i] != 0)).ToArray()));
        }
    }

    private static List<JsonElement> Items(string name)
    {
        var items = JsonDocument.Parse(File.ReadAllBytes(GoldenFolder.Require("rle", name))).RootElement.EnumerateArray().ToList();
        Assert.NotEmpty(items);
        return items;
    }

    private static (int Height, int Width) Size(JsonElement item) => (item.GetProperty("h").GetInt32(), item.GetProperty("w").GetInt32());

    private static double[] Box(Rle mask) => [mask.Bounds.Left, mask.Bounds.Top, mask.Bounds.Width, mask.Bounds.Height];

    private static double[] Doubles(JsonElement list) => [.. list.EnumerateArray().Select(value => value.GetDouble())];

    private static long[] Longs(JsonElement list) => [.. list.EnumerateArray().Select(value => value.GetInt64())];

    private static string[] Texts(JsonElement list) => [.. list.EnumerateArray().Select(value => value.GetString()!)];
}
