namespace CudaKernels.Detection;

/// <summary>The outlines of the synthetic classes, as polygons in pixels with two decimals, so that what is drawn is what is written.</summary>
internal static class SyntheticShape
{
    /// <summary>Class names; the class is the index.</summary>
    public static readonly string[] Names = ["circle", "square", "triangle", "star", "cross"];

    /// <summary>A shape that fits a circle of the given radius around its centre.</summary>
    /// <param name="shape">Index into <see cref="Names"/>.</param>
    /// <param name="centreX">Centre, pixels.</param>
    /// <param name="centreY">Centre, pixels.</param>
    /// <param name="radius">Distance of the outermost corner, pixels.</param>
    /// <param name="angle">Turn, radians.</param>
    public static double[] Outline(int shape, double centreX, double centreY, double radius, double angle)
    {
        (double Radius, double Angle)[] corners = Names[shape] switch
        {
            "circle" => Regular(40),
            "square" => Regular(4),
            "triangle" => Regular(3),
            "star" => [.. Enumerable.Range(0, 10).Select(i => (i % 2 == 0 ? 1 : 0.45, i * Math.PI / 5))],
            _ => Cross(),
        };
        var polygon = new double[2 * corners.Length];
        for (var i = 0; i < corners.Length; i++)
        {
            polygon[2 * i] = Math.Round(centreX + radius * corners[i].Radius * Math.Cos(angle + corners[i].Angle), 2);
            polygon[2 * i + 1] = Math.Round(centreY + radius * corners[i].Radius * Math.Sin(angle + corners[i].Angle), 2);
        }

        return polygon;
    }

    /// <summary>Area by the shoelace formula.</summary>
    public static double Area(double[] polygon)
    {
        var twice = 0.0;
        for (var i = 0; i < polygon.Length; i += 2)
        {
            var next = (i + 2) % polygon.Length;
            twice += polygon[i] * polygon[next + 1] - polygon[next] * polygon[i + 1];
        }

        return Math.Abs(twice) / 2;
    }

    /// <summary>The tight box around a polygon.</summary>
    public static Box Bounds(double[] polygon)
    {
        var x = polygon.Where((_, i) => i % 2 == 0);
        var y = polygon.Where((_, i) => i % 2 == 1);
        return new Box(x.Min(), y.Min(), x.Max(), y.Max());
    }

    private static (double, double)[] Regular(int corners) => [.. Enumerable.Range(0, corners).Select(i => (1.0, i * 2 * Math.PI / corners))];

    /// A plus sign: arms as long as the radius allows and 0.6 of it wide.
    private static (double, double)[] Cross()
    {
        const double half = 0.3;
        var length = Math.Sqrt(1 - half * half);
        (double X, double Y)[] quarter = [(length, -half), (length, half), (half, half)];
        return [.. Enumerable.Range(0, 4).SelectMany(turn => quarter.Select(corner =>
            (Math.Sqrt(corner.X * corner.X + corner.Y * corner.Y), Math.Atan2(corner.Y, corner.X) + turn * Math.PI / 2)))];
    }
}
