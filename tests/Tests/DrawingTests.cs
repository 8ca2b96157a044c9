using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class DrawingTests
{
    private static readonly Color Red = new(255, 0, 0);

    [Fact]
    public void CanvasKeepsThePictureItStartsFrom()
    {
        var image = new ImageBuffer(3, 2, [.. Enumerable.Range(0, 18).Select(i => (byte)(i * 14))]);
        using var canvas = new Canvas(image);
        Assert.Equal(image.Pixels, canvas.ToImage().Pixels);
    }

    [Fact]
    public void FillsExactlyTheRectangle()
    {
        using var canvas = new Canvas(6, 4, Color.White);
        canvas.FillRectangle(1, 1, 4, 3, Red);
        var image = canvas.ToImage();
        for (var y = 0; y < 4; y++)
            for (var x = 0; x < 6; x++)
                Assert.Equal(x is >= 1 and < 4 && y is >= 1 and < 3 ? Red : Color.White, At(image, x, y));
    }

    [Fact]
    public void TextComesFromTheBuiltInFont()
    {
        // Widths of DejaVu Sans: digits are 1303/2048 of the size, an i 569/2048, give or take a pixel a letter for hinting.
        Assert.Equal(3 * 1303.0 / 2048 * 100, Canvas.Measure("081", 100).Width, 3.0);
        Assert.Equal(569.0 / 2048 * 100, Canvas.Measure("i", 100).Width, 1.0);
        using var canvas = new Canvas(100, 40, Color.White);
        canvas.Text("Ag", 50, 20, 20, Color.Black, HorizontalAnchor.Center, VerticalAnchor.Middle);
        var ink = Dark(canvas.ToImage());
        Assert.InRange(ink.Count, 60, 400);
        Assert.Equal(50, ink.Average(point => point.X), 3.0);
    }

    [Fact]
    public void UpwardTextIsTallNotWide()
    {
        using var canvas = new Canvas(100, 100, Color.White);
        canvas.Text("length", 50, 50, 16, Color.Black, HorizontalAnchor.Center, VerticalAnchor.Middle, upward: true);
        var ink = Dark(canvas.ToImage());
        Assert.True(ink.Max(point => point.Y) - ink.Min(point => point.Y) > 2 * (ink.Max(point => point.X) - ink.Min(point => point.X)));
    }

    [Fact]
    public void ShortensTextThatDoesNotFit()
    {
        var text = Canvas.Shorten("a very long class name", 12, 80);
        Assert.EndsWith("…", text);
        Assert.True(Canvas.Measure(text, 12).Width <= 80);
        Assert.Equal("cat", Canvas.Shorten("cat", 12, 80));
    }

    [Theory]
    [InlineData(64, 64)]
    [InlineData(160, 160)]
    [InlineData(640, 480)]
    [InlineData(1600, 1200)]
    public void DrawsOutlineAndTagInTheClassColour(int width, int height)
    {
        var ground = new ImageBuffer(width, height);
        var colour = Color.OfClass(3);
        var picture = AnnotatedPicture.Draw(ground, [new(new Box(width * 0.2, height * 0.4, width * 0.8, height * 0.9), 3, "star", 0.87)]);
        Assert.Equal((width, height), (picture.Width, picture.Height));
        Assert.Equal(colour, At(picture, (int)Math.Round(width * 0.2), (int)(height * 0.7)));
        Assert.Equal(Color.Black, At(picture, width / 2, (int)(height * 0.7)));

        // The tag stands above the box: a filled area with readable text in it.
        var above = Enumerable.Range(0, (int)(height * 0.38)).SelectMany(y => Enumerable.Range(0, width).Select(x => At(picture, x, y))).ToList();
        Assert.InRange(above.Count(pixel => pixel == colour), 20, width * height / 10);
        Assert.DoesNotContain(ground.Pixels, value => value != 0);
    }

    [Fact]
    public void BoxesOutsideAndCrowdsNeverFail()
    {
        var boxes = Enumerable.Range(0, 60).Select(i => new PictureBox(new Box(10 + i, 10, 14 + i, 14), i, "name " + i, i / 60.0)).ToList();
        boxes.Add(new(new Box(-50, -50, -10, -10), 1, "outside", 0.5));
        boxes.Add(new(new Box(-50, -50, 500, 500), 1, "around everything", 0.5));
        boxes.Add(new(new Box(5, 5, 5, 5), 2, ""));
        Assert.Equal(80, AnnotatedPicture.Draw(new ImageBuffer(80, 24), boxes).Width);
        Assert.Equal(1, AnnotatedPicture.Draw(new ImageBuffer(1, 1), boxes).Width);
    }

    [Theory]
    [InlineData(0, 1, 5, "0 0.2 0.4 0.6 0.8 1.0")]
    [InlineData(0, 199, 4, "0 50 100 150 200")]
    [InlineData(-3, 7, 5, "-4 -2 0 2 4 6 8")]
    [InlineData(0, 0.002, 4, "0 5e-4 1e-3 1.5e-3 2e-3")]
    [InlineData(0, 2e6, 4, "0 5e5 1e6 1.5e6 2e6")]
    [InlineData(5, 5, 2, "4.5 5.0 5.5")]
    public void TicksAreRoundNumbers(double low, double high, int wanted, string expected)
    {
        var ticks = NiceTicks.Over(low, high, wanted);
        Assert.Equal(expected, string.Join(' ', ticks.Values.Select(ticks.Format)));
    }

    [Fact]
    public void WholeTicksDoNotSplitEpochs()
    {
        Assert.Equal([0, 1, 2], NiceTicks.Over(0, 2, 10, whole: true).Values);
        Assert.Equal([3, 4], NiceTicks.Over(3, 3, 10, whole: true).Values);
    }

    [Fact]
    public void ChartsLeaveGapsForMissingValues()
    {
        var points = Enumerable.Range(0, 101).Select(i => ((double)i, i is > 40 and < 60 ? double.NaN : 0.5)).ToList();
        var chart = LineChart.Draw([new ChartPanel("", "", "", [new ChartSeries("", points, Red)]) { YRange = (0, 1) }]);
        var columns = Enumerable.Range(0, chart.Width).Where(x => Enumerable.Range(0, chart.Height).Any(y => At(chart, x, y) == Red)).ToList();
        var widest = columns.Zip(columns.Skip(1)).Max(pair => pair.Second - pair.First);
        Assert.Equal(0.2 * (columns[^1] - columns[0]), widest, 4.0);
    }

    [Fact]
    public void EveryChartDrawsWithoutData()
    {
        var truth = new CocoGroundTruth([], [], []);
        LineChart.Draw([new ChartPanel("t", "x", "y", [new ChartSeries("a", []), new ChartSeries("b", [(0, double.NaN)])])]);
        PrecisionRecallPicture.Draw(PrecisionRecall.Of(CocoMetric.Evaluate(truth, [])));
        ConfusionPicture.Draw(ConfusionMatrix.Compute(truth, []));
    }

    [Fact]
    public void ChartsOfManyClassesStayOfOneSize()
    {
        var categories = Enumerable.Range(1, 80).Select(id => new CocoCategory(id, "class number " + id)).ToArray();
        var objects = categories.Select(category => new CocoAnnotation(category.Id, 1, category.Id, 10, 10, 50, 50, 2500)).ToArray();
        var found = objects.Select(item => new CocoDetection(1, item.CategoryId, 10, 10, 50, 50, 0.9)).ToArray();
        var truth = new CocoGroundTruth([new CocoImage(1, "a.jpg", 640, 480)], categories, objects);
        var curves = PrecisionRecall.Of(CocoMetric.Evaluate(truth, found));
        Assert.Equal(1, curves.MeanAveragePrecision, 1e-9);
        Assert.Equal(860, PrecisionRecallPicture.Draw(curves).Width);
        Assert.InRange(ConfusionPicture.Draw(ConfusionMatrix.Compute(truth, found)).Width, 1000, 1500);
    }

    [Fact]
    public void NeighbouringClassesDiffer()
    {
        var colours = Enumerable.Range(0, 80).Select(Color.OfClass).ToList();
        Assert.Equal(80, colours.Distinct().Count());
    }

    private static Color At(ImageBuffer image, int x, int y)
    {
        var at = (y * image.Width + x) * 3;
        return new Color(image.Pixels[at], image.Pixels[at + 1], image.Pixels[at + 2]);
    }

    private static List<(int X, int Y)> Dark(ImageBuffer image) =>
        [.. from y in Enumerable.Range(0, image.Height) from x in Enumerable.Range(0, image.Width) where At(image, x, y).Red < 128 select (x, y)];
}
