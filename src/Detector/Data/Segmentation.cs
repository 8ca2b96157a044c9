namespace CudaKernels.Detection;

/// <summary>
/// The outline of an object as COCO stores it, kept as data: either polygons (flat x, y lists) or one run-length mask whose counts
/// are a list (<see cref="Runs"/>) or COCO's string form (<see cref="Counts"/>).
/// </summary>
internal sealed class Segmentation
{
    private Segmentation(IReadOnlyList<double[]> polygons, int height, int width, long[]? runs, string? counts)
    {
        Polygons = polygons;
        Height = height;
        Width = width;
        Runs = runs;
        Counts = counts;
    }

    /// <summary>Parts of the object, each x0, y0, x1, y1, ...; empty for a mask.</summary>
    public IReadOnlyList<double[]> Polygons { get; }

    /// <summary>Rows of the mask; 0 for polygons.</summary>
    public int Height { get; }

    /// <summary>Columns of the mask; 0 for polygons.</summary>
    public int Width { get; }

    /// <summary>Run lengths in column-major order, zeros first; null unless the mask is stored so.</summary>
    public long[]? Runs { get; }

    /// <summary>COCO's compressed string; null unless the mask is stored so.</summary>
    public string? Counts { get; }

    public static Segmentation FromPolygons(IReadOnlyList<double[]> polygons) => new(polygons, 0, 0, null, null);

    public static Segmentation FromRuns(int height, int width, long[] runs) => new([], height, width, runs, null);

    public static Segmentation FromCounts(int height, int width, string counts) => new([], height, width, null, counts);
}
