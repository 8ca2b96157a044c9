namespace CudaKernels.Detection;

/// <summary>One drawn object: its class and outline (one polygon, wholly inside the picture).</summary>
internal sealed record SyntheticObject(int Class, double[] Polygon);

/// <summary>
/// A generated picture: 2 to 6 coloured, textured, turned shapes on a dull, textured ground, later shapes over earlier ones.
/// </summary>
/// <remarks>
/// Objects differ in shape and, as in nature, also in their usual colour: each class has a hue of its own give or take 25 degrees, while
/// brightness, saturation and texture vary freely. Every object stays visible and distinct: a shape is placed only if all earlier ones
/// keep at least 70 % of their pixels, and box centres keep a distance of 0.3 of the larger box. Outlines are never smaller than 16 pixels.
/// The annotation is the whole outline, hidden part included.
/// </remarks>
internal sealed class SyntheticPicture
{
    /// <summary>Smallest side of a picture; below it the shapes would not fit.</summary>
    public const int MinSize = 64;

    private const double MinVisible = 0.7;
    private const double MinCentreDistance = 0.3;
    private const double SmallestRadius = 0.08;
    private const double LargestRadius = 0.22;
    private const int Tries = 60;

    private readonly RandomStream random;
    private readonly int size;
    private readonly List<SyntheticObject> objects = [];
    private readonly List<PolygonCoverage> coverages = [];
    private readonly int[] owner; // which object shows at each pixel, -1 the ground

    /// <summary>Draws a square picture; the same arguments give the same picture.</summary>
    /// <param name="size">Side in pixels, at least <see cref="MinSize"/>.</param>
    /// <param name="seed">Seed of the whole set.</param>
    /// <param name="index">Number of the picture.</param>
    public SyntheticPicture(int size, ulong seed, ulong index)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, MinSize);
        this.size = size;
        random = new RandomStream(seed, 0, index);
        owner = new int[size * size];
        Array.Fill(owner, -1);
        Image = new ImageBuffer(size, size);
        DrawGround();
        var wanted = random.Int(2, 6);
        for (var attempt = 0; attempt < Tries && objects.Count < wanted; attempt++) TryPlace();
    }

    /// <summary>The pixels.</summary>
    public ImageBuffer Image { get; }

    /// <summary>The objects, from the lowest to the topmost; at least one.</summary>
    public IReadOnlyList<SyntheticObject> Objects => objects;

    /// <summary>The part of an object's pixels that no other object hides, 0 to 1.</summary>
    public double VisibleFraction(int index) => VisiblePixels(index) / coverages[index].Sum;

    private void TryPlace()
    {
        var shape = random.Int(SyntheticShape.Names.Length);
        var radius = Math.Max(random.Uniform(SmallestRadius, LargestRadius) * size, 11);
        var centreX = random.Uniform(radius + 1, size - radius - 1);
        var centreY = random.Uniform(radius + 1, size - radius - 1);
        var polygon = SyntheticShape.Outline(shape, centreX, centreY, radius, random.Uniform(0, 2 * Math.PI));
        var hue = 360.0 * shape / SyntheticShape.Names.Length + random.Uniform(-25, 25);
        var colour = HueToRgb(hue, random.Uniform(0.55, 1), random.Uniform(0.55, 1));
        var texture = new SyntheticTexture(random, random.Uniform(0.05, 0.25));
        var box = SyntheticShape.Bounds(polygon);
        if (objects.Any(other => TooNear(box, SyntheticShape.Bounds(other.Polygon)))) return;

        var coverage = new PolygonCoverage(polygon, size, size);
        var before = (int[])owner.Clone();
        coverages.Add(coverage);
        for (var y = coverage.Top; y < coverage.Top + coverage.Height; y++)
            for (var x = coverage.Left; x < coverage.Left + coverage.Width; x++)
                if (coverage[x, y] >= 0.5f) owner[y * size + x] = objects.Count;
        if (Enumerable.Range(0, objects.Count).Any(i => VisibleFraction(i) < MinVisible))
        {
            coverages.RemoveAt(objects.Count);
            before.CopyTo(owner, 0);
            return;
        }

        objects.Add(new SyntheticObject(shape, polygon));
        Paint(coverage, colour, texture);
    }

    private static bool TooNear(Box a, Box b)
    {
        var x = (a.X1 + a.X2 - b.X1 - b.X2) / 2;
        var y = (a.Y1 + a.Y2 - b.Y1 - b.Y2) / 2;
        var larger = Math.Max(Math.Max(a.Width, a.Height), Math.Max(b.Width, b.Height));
        return Math.Sqrt(x * x + y * y) < MinCentreDistance * larger;
    }

    private double VisiblePixels(int index)
    {
        var coverage = coverages[index];
        var visible = 0.0;
        for (var y = coverage.Top; y < coverage.Top + coverage.Height; y++)
            for (var x = coverage.Left; x < coverage.Left + coverage.Width; x++)
                if (owner[y * size + x] <= index) visible += coverage[x, y];
        return visible;
    }

    private void DrawGround()
    {
        var colour = HueToRgb(random.Uniform(0, 360), random.Uniform(0, 0.25), random.Uniform(0.25, 0.85));
        var coarse = new SyntheticTexture(random, random.Uniform(0.1, 0.3));
        var fine = new SyntheticTexture(random, random.Uniform(0.02, 0.12));
        var (tiltX, tiltY) = (random.Uniform(-0.3, 0.3) / size, random.Uniform(-0.3, 0.3) / size);
        for (var y = 0; y < size; y++)
            for (var x = 0; x < size; x++)
                Put(x, y, colour, 1 + coarse[x, y] + fine[x, y] + tiltX * (x - size / 2.0) + tiltY * (y - size / 2.0), 1);
    }

    private void Paint(PolygonCoverage coverage, (double R, double G, double B) colour, SyntheticTexture texture)
    {
        for (var y = coverage.Top; y < coverage.Top + coverage.Height; y++)
            for (var x = coverage.Left; x < coverage.Left + coverage.Width; x++)
                Put(x, y, colour, 1 + texture[x, y], coverage[x, y]);
    }

    private void Put(int x, int y, (double R, double G, double B) colour, double brightness, double coverage)
    {
        var pixel = Image.Pixels.AsSpan((y * size + x) * 3, 3);
        pixel[0] = Blend(pixel[0], colour.R);
        pixel[1] = Blend(pixel[1], colour.G);
        pixel[2] = Blend(pixel[2], colour.B);

        byte Blend(byte under, double over) => (byte)Math.Round(under + coverage * (Math.Clamp(255 * over * brightness, 0, 255) - under));
    }

    /// Hue in degrees, saturation and value 0 to 1.
    private static (double R, double G, double B) HueToRgb(double hue, double saturation, double value)
    {
        return (Channel(5), Channel(3), Channel(1));

        double Channel(int n)
        {
            var k = (n + (hue + 360) % 360 / 60) % 6;
            return value - value * saturation * Math.Clamp(Math.Min(k, 4 - k), 0, 1);
        }
    }
}
