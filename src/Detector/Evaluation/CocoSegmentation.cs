namespace CudaKernels.Detection;

/// The outline of an object as COCO writes it: polygons (flat x, y lists whose union counts) or a run-length mask (crowds).
internal sealed record CocoSegmentation(IReadOnlyList<double[]>? Polygons, Rle? Mask)
{
    /// The object's pixels in a picture of this size.
    public Rle ToRle(int height, int width)
    {
        if (Mask is { } mask)
            return mask.Height == height && mask.Width == width
                ? mask
                : throw new FormatException($"the run-length mask is {mask.Width}x{mask.Height}, its image {width}x{height}");
        return Rle.Union([.. Polygons!.Select(polygon => PolygonRasterizer.ToRle(polygon, height, width))], height, width);
    }
}
