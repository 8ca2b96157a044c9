namespace CudaKernels.Detection;

/// A picture of a COCO file. Sizes are 0 where the file does not give them; only masks need them.
internal sealed record CocoImage(long Id, string FileName, int Width, int Height);

internal sealed record CocoCategory(long Id, string Name);

/// One labelled object. The box is continuous x, y, width, height in pixels; Area is the annotation's own field (the area of the
/// segment in COCO), which decides the size class also when boxes are evaluated.
internal sealed record CocoAnnotation(
    long Id, long ImageId, long CategoryId, double X, double Y, double Width, double Height, double Area, bool IsCrowd = false)
{
    public CocoSegmentation? Segmentation { get; init; }
}

internal sealed record CocoGroundTruth(
    IReadOnlyList<CocoImage> Images, IReadOnlyList<CocoCategory> Categories, IReadOnlyList<CocoAnnotation> Annotations);

/// One found object: box as in the annotation (unused for mask evaluation, where Mask counts).
internal sealed record CocoDetection(long ImageId, long CategoryId, double X, double Y, double Width, double Height, double Score)
{
    public Rle? Mask { get; init; }
}
