namespace CudaKernels.Detection;

/// <summary>
/// How much of every pixel a polygon covers (even-odd rule), 0 to 1, within the pixels of its bounding box. Each pixel row is cut by
/// eight horizontal lines; along a line the covered length is exact.
/// </summary>
internal sealed class PolygonCoverage
{
    private const int LinesPerRow = 8;
    private readonly float[] coverage;

    /// <param name="polygon">x0, y0, x1, y1, ...; closed by itself.</param>
    /// <param name="width">Columns of the picture, which bounds the result.</param>
    /// <param name="height">Rows of the picture.</param>
    public PolygonCoverage(double[] polygon, int width, int height)
    {
        double minX = double.MaxValue, minY = double.MaxValue, maxX = double.MinValue, maxY = double.MinValue;
        for (var i = 0; i < polygon.Length; i += 2)
        {
            (minX, maxX) = (Math.Min(minX, polygon[i]), Math.Max(maxX, polygon[i]));
            (minY, maxY) = (Math.Min(minY, polygon[i + 1]), Math.Max(maxY, polygon[i + 1]));
        }

        Left = Math.Clamp((int)Math.Floor(minX), 0, width);
        Top = Math.Clamp((int)Math.Floor(minY), 0, height);
        Width = Math.Clamp((int)Math.Ceiling(maxX), Left, width) - Left;
        Height = Math.Clamp((int)Math.Ceiling(maxY), Top, height) - Top;
        coverage = new float[Width * Height];
        Fill(polygon);
        foreach (var value in coverage) Sum += value;
    }

    /// <summary>First column.</summary>
    public int Left { get; }

    /// <summary>First row.</summary>
    public int Top { get; }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Covered area in pixels.</summary>
    public double Sum { get; }

    /// <summary>Coverage of picture pixel (x, y); 0 outside the bounding box.</summary>
    public float this[int x, int y] =>
        (uint)(x - Left) < (uint)Width && (uint)(y - Top) < (uint)Height ? coverage[(y - Top) * Width + x - Left] : 0;

    private void Fill(double[] polygon)
    {
        var crossings = new List<double>();
        for (var line = 0; line < Height * LinesPerRow; line++)
        {
            var y = Top + (line + 0.5) / LinesPerRow;
            crossings.Clear();
            var (x0, y0) = (polygon[^2], polygon[^1]);
            for (var i = 0; i < polygon.Length; i += 2)
            {
                var (x1, y1) = (polygon[i], polygon[i + 1]);
                if (y0 <= y != y1 <= y) crossings.Add(x0 + (y - y0) / (y1 - y0) * (x1 - x0) - Left);
                (x0, y0) = (x1, y1);
            }

            crossings.Sort();
            var row = coverage.AsSpan(line / LinesPerRow * Width, Width);
            for (var i = 0; i + 1 < crossings.Count; i += 2) AddSpan(row, Math.Max(crossings[i], 0), Math.Min(crossings[i + 1], Width));
        }
    }

    private static void AddSpan(Span<float> row, double from, double to)
    {
        for (var x = (int)from; x < to && x < row.Length; x++)
            row[x] += (float)((Math.Min(to, x + 1) - Math.Max(from, x)) / LinesPerRow);
    }
}
