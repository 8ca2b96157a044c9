using System.Globalization;

namespace CudaKernels.Detection;

/// A confusion matrix as a heat map: a cell's depth is its share of the row (of the objects of a true class), the number is the count.
internal static class ConfusionPicture
{
    private const double TitleSize = 16;
    private const double Margin = 14;

    private static readonly Color Ink = new(40, 40, 40);
    private static readonly Color Grid = new(215, 215, 215);
    private static readonly Color Deep = new(8, 64, 129);

    public static ImageBuffer Draw(ConfusionMatrix matrix)
    {
        var size = matrix.Names.Count;

        // Cells shrink as classes grow in number, so that 80 classes still fit a screen; below 22 pixels numbers are left out.
        var cell = Math.Clamp(900 / size, 14, 64);
        var textSize = Math.Clamp(cell * 0.6, 9, 13);
        var names = matrix.Names.Select(name => Canvas.Shorten(name, textSize, 150)).ToArray();
        var nameWidth = names.Max(name => Canvas.Measure(name, textSize).Width);
        var titleHeight = Canvas.Measure("0", TitleSize).Height;
        var axisHeight = Canvas.Measure("0", 13).Height;
        var left = Margin + axisHeight + 8 + nameWidth + 8;
        var top = Margin + titleHeight + 10;
        var side = cell * size;
        var title = FormattableString.Invariant($"Found classes at score {matrix.ScoreThreshold:0.##} and IoU {matrix.IouThreshold:0.##}");
        var width = Math.Max(left + side + Margin, Canvas.Measure(title, TitleSize).Width + 2 * Margin);
        using var canvas = new Canvas((int)Math.Ceiling(width), (int)Math.Ceiling(top + side + 8 + nameWidth + 10 + axisHeight + Margin), Color.White);
        canvas.Text(title, canvas.Width / 2.0, Margin, TitleSize, Ink, HorizontalAnchor.Center);
        for (var row = 0; row < size; row++) DrawRow(canvas, matrix, row, left, top + row * cell, cell);
        for (var i = 0; i < size; i++)
        {
            var middle = (i + 0.5) * cell;
            canvas.Text(names[i], left - 8, top + middle, textSize, Ink, HorizontalAnchor.Right, VerticalAnchor.Middle);
            canvas.Text(names[i], left + middle, top + side + 8, textSize, Ink, HorizontalAnchor.Right, VerticalAnchor.Middle, upward: true);
        }
        canvas.Text("true class", Margin, top + side / 2.0, 13, Ink, HorizontalAnchor.Center, upward: true);
        canvas.Text("found class", left + side / 2.0, canvas.Height - Margin, 13, Ink, HorizontalAnchor.Center, VerticalAnchor.Bottom);
        return canvas.ToImage();
    }

    private static void DrawRow(Canvas canvas, ConfusionMatrix matrix, int row, double left, double top, double cell)
    {
        var size = matrix.Names.Count;
        long total = 0;
        for (var column = 0; column < size; column++) total += matrix.Counts[row, column];
        for (var column = 0; column < size; column++)
        {
            var count = matrix.Counts[row, column];

            // The square root keeps a few per cent of confusion visible.
            var ground = Color.White.Toward(Deep, total == 0 ? 0 : Math.Sqrt((double)count / total));
            var x = left + column * cell;
            canvas.FillRectangle(x, top, x + cell, top + cell, ground);
            canvas.Rectangle(x, top, x + cell, top + cell, Grid, 1);
            if (count > 0 && cell >= 22) DrawCount(canvas, count, x, top, cell, ground.ReadableText());
        }
    }

    private static void DrawCount(Canvas canvas, long count, double x, double y, double cell, Color color)
    {
        var text = count.ToString(CultureInfo.InvariantCulture);
        var size = Math.Min(14, cell * 0.4);
        var width = Canvas.Measure(text, size).Width;
        if (width > cell - 4) size *= (cell - 4) / width;
        canvas.Text(text, x + cell / 2, y + cell / 2, size, color, HorizontalAnchor.Center, VerticalAnchor.Middle);
    }
}
