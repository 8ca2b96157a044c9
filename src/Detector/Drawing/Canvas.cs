using SkiaSharp;

namespace CudaKernels.Detection;

internal enum HorizontalAnchor
{
    Left,
    Center,
    Right,
}

/// Top and Bottom are those of the line of text, Middle is the middle of a capital letter.
internal enum VerticalAnchor
{
    Top,
    Middle,
    Bottom,
}

/// A picture to draw on: lines, rectangles and text in pixels, x to the right and y down. Text uses a font that is part of the
/// library, so it looks the same on a machine without any fonts. The only file that draws with the image library.
internal sealed class Canvas : IDisposable
{
    private static readonly Lazy<SKTypeface> Typeface = new(LoadTypeface);

    private readonly SKBitmap bitmap;
    private readonly SKCanvas canvas;

    public Canvas(int width, int height, Color background)
    {
        bitmap = new SKBitmap(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Premul));
        canvas = new SKCanvas(bitmap);
        canvas.Clear(ToSkia(background));
    }

    /// Starts from a copy of a picture.
    public Canvas(ImageBuffer image)
        : this(image.Width, image.Height, Color.Black)
    {
        var target = bitmap.GetPixelSpan();
        for (int from = 0, to = 0; from < image.Pixels.Length; from += 3, to += 4) image.Pixels.AsSpan(from, 3).CopyTo(target[to..]);
        bitmap.NotifyPixelsChanged();
    }

    public int Width => bitmap.Width;

    public int Height => bitmap.Height;

    public void Line(double x1, double y1, double x2, double y2, Color color, double width)
    {
        using var paint = Stroke(color, width);
        canvas.DrawLine((float)x1, (float)y1, (float)x2, (float)y2, paint);
    }

    public void Polyline(IReadOnlyList<(double X, double Y)> points, Color color, double width)
    {
        if (points.Count == 0) return;
        using var path = new SKPathBuilder();
        path.MoveTo((float)points[0].X, (float)points[0].Y);
        foreach (var (x, y) in points.Skip(1)) path.LineTo((float)x, (float)y);
        using var paint = Stroke(color, width);
        using var outline = path.Detach();
        canvas.DrawPath(outline, paint);
    }

    public void Rectangle(double x1, double y1, double x2, double y2, Color color, double width)
    {
        using var paint = Stroke(color, width);
        canvas.DrawRect(new SKRect((float)x1, (float)y1, (float)x2, (float)y2), paint);
    }

    public void FillRectangle(double x1, double y1, double x2, double y2, Color color)
    {
        using var paint = Fill(color);
        canvas.DrawRect(new SKRect((float)x1, (float)y1, (float)x2, (float)y2), paint);
    }

    public void FillCircle(double x, double y, double radius, Color color)
    {
        using var paint = Fill(color);
        canvas.DrawCircle((float)x, (float)y, (float)radius, paint);
    }

    /// One line of text whose anchor point is (x, y); upward text is turned to be read from below.
    public void Text(
        string text, double x, double y, double size, Color color,
        HorizontalAnchor horizontal = HorizontalAnchor.Left, VerticalAnchor vertical = VerticalAnchor.Top, bool upward = false)
    {
        using var font = Font(size);
        using var paint = Fill(color);
        var align = horizontal switch
        {
            HorizontalAnchor.Left => SKTextAlign.Left,
            HorizontalAnchor.Center => SKTextAlign.Center,
            _ => SKTextAlign.Right,
        };
        var metrics = font.Metrics;
        var baseline = vertical switch
        {
            VerticalAnchor.Top => -metrics.Ascent,
            VerticalAnchor.Middle => metrics.CapHeight / 2,
            _ => -metrics.Descent,
        };
        canvas.Save();
        canvas.Translate((float)x, (float)y);
        if (upward) canvas.RotateDegrees(-90);
        canvas.DrawText(text, 0, baseline, align, font, paint);
        canvas.Restore();
    }

    /// Width of the text and height of a line at a size.
    public static (double Width, double Height) Measure(string text, double size)
    {
        using var font = Font(size);
        return (font.MeasureText(text), font.Metrics.Descent - font.Metrics.Ascent);
    }

    /// The text, or as much of its start as fits the width, with an ellipsis.
    public static string Shorten(string text, double size, double width)
    {
        while (text.Length > 2 && Measure(text, size).Width > width) text = text[..^2] + "…";
        return text;
    }

    public ImageBuffer ToImage()
    {
        var image = new ImageBuffer(Width, Height);
        var source = bitmap.GetPixelSpan();
        for (int from = 0, to = 0; to < image.Pixels.Length; from += 4, to += 3) source.Slice(from, 3).CopyTo(image.Pixels.AsSpan(to));
        return image;
    }

    public void Dispose()
    {
        canvas.Dispose();
        bitmap.Dispose();
    }

    private static SKPaint Stroke(Color color, double width) => new()
    {
        Color = ToSkia(color),
        IsAntialias = true,
        IsStroke = true,
        StrokeWidth = (float)width,
        StrokeJoin = SKStrokeJoin.Round,
    };

    private static SKPaint Fill(Color color) => new() { Color = ToSkia(color), IsAntialias = true };

    private static SKFont Font(double size) => new(Typeface.Value, (float)size) { Subpixel = true, Edging = SKFontEdging.Antialias };

    private static SKColor ToSkia(Color color) => new(color.Red, color.Green, color.Blue, color.Alpha);

    private static SKTypeface LoadTypeface()
    {
        using var stream = typeof(Canvas).Assembly.GetManifestResourceStream("DejaVuSans.ttf")!;
        using var data = SKData.Create(stream);
        return SKTypeface.FromData(data);
    }
}
