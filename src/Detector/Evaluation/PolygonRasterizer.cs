namespace CudaKernels.Detection;

/// Polygon to run-length mask, bit for bit as the COCO tools do it (specification 9.3): the outline is walked on a grid five times
/// finer than the pixels, and every crossing of a column centre toggles the pixels below it.
internal static class PolygonRasterizer
{
    private const double Scale = 5;

    /// Beyond this a coordinate is a mistake, and walking its edge would take for ever.
    private const double LargestCoordinate = 1_000_000;

    /// polygon: x, y of each corner in pixels, closed implicitly.
    public static Rle ToRle(IReadOnlyList<double> polygon, int height, int width)
    {
        if (polygon.Count < 2 || polygon.Count % 2 != 0)
            throw new FormatException($"a polygon needs pairs of x and y, this one has {polygon.Count} numbers");
        var corners = polygon.Count / 2;
        var x = new int[corners + 1];
        var y = new int[corners + 1];
        for (var i = 0; i < corners; i++)
        {
            x[i] = ToGrid(polygon[2 * i]);
            y[i] = ToGrid(polygon[2 * i + 1]);
        }
        (x[corners], y[corners]) = (x[0], y[0]);
        var outline = new List<(int U, int V)>();
        for (var i = 0; i < corners; i++) WalkEdge(x[i], y[i], x[i + 1], y[i + 1], outline);
        return new Rle(height, width, ToCounts(Crossings(outline, height, width)));
    }

    private static int ToGrid(double coordinate) => Math.Abs(coordinate) <= LargestCoordinate
        ? (int)(Scale * coordinate + 0.5)
        : throw new FormatException($"the polygon coordinate {coordinate} is no sensible pixel position");

    /// All grid points of an edge, both ends included. The slope is always taken from the end of smaller major coordinate, so that
    /// two polygons that share an edge rasterise it alike in either direction.
    private static void WalkEdge(int x1, int y1, int x2, int y2, List<(int, int)> outline)
    {
        int dx = Math.Abs(x2 - x1), dy = Math.Abs(y2 - y1);
        var alongX = dx >= dy;
        var steps = alongX ? dx : dy;
        var descending = alongX ? x1 > x2 : y1 > y2;
        if (descending) (x1, y1, x2, y2) = (x2, y2, x1, y1);
        var slope = steps == 0 ? 0 : alongX ? (double)(y2 - y1) / steps : (double)(x2 - x1) / steps;
        for (var step = 0; step <= steps; step++)
        {
            var t = descending ? steps - step : step;
            outline.Add(alongX
                ? (x1 + t, (int)(y1 + slope * t + 0.5))
                : ((int)(x1 + slope * t + 0.5), y1 + t));
        }
    }

    /// Pixel numbers (x*height + y) at which the inside toggles, and the end of the picture, sorted.
    private static long[] Crossings(List<(int U, int V)> outline, int height, int width)
    {
        var crossings = new List<long> { (long)height * width };
        for (var i = 1; i < outline.Count; i++)
        {
            var (u, v) = outline[i];
            var (lastU, lastV) = outline[i - 1];
            if (u == lastU) continue;
            var column = ((u < lastU ? u : u - 1) + 0.5) / Scale - 0.5;
            if (Math.Floor(column) != column || column < 0 || column > width - 1) continue;
            var row = Math.Ceiling(Math.Clamp((Math.Min(v, lastV) + 0.5) / Scale - 0.5, 0, height));
            crossings.Add((long)column * height + (long)row);
        }
        crossings.Sort();
        return [.. crossings];
    }

    /// Differences of the sorted crossings; equal crossings cancel, which Rle does by merging runs of length 0.
    private static long[] ToCounts(long[] crossings)
    {
        var counts = new long[crossings.Length];
        for (var i = 0; i < counts.Length; i++) counts[i] = crossings[i] - (i == 0 ? 0 : crossings[i - 1]);
        return counts;
    }
}
