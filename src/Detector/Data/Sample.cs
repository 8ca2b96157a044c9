namespace CudaKernels.Detection;

/// <summary>One picture of a data set and what is on it.</summary>
/// <param name="ImagePath">Full path of the picture.</param>
/// <param name="Id">The picture's id in the data set: unique; COCO's own id, otherwise the position counted from 1.</param>
/// <param name="Width">Columns of the picture after EXIF rotation.</param>
/// <param name="Height">Rows of the picture after EXIF rotation.</param>
/// <param name="Objects">Everything annotated, crowds and difficult objects included; in file order.</param>
internal sealed record Sample(string ImagePath, long Id, int Width, int Height, IReadOnlyList<ObjectAnnotation> Objects)
{
    /// <summary>Decodes the picture.</summary>
    /// <exception cref="DataException">Unreadable, or not of the annotated size, so that its boxes cannot be trusted.</exception>
    public ImageBuffer LoadPicture()
    {
        var image = ImageFile.Load(ImagePath);
        return image.Width == Width && image.Height == Height ? image
            : throw new DataException($"{ImagePath}: the picture is {image.Width}x{image.Height} but annotated as {Width}x{Height}");
    }
}

/// <summary>One annotated object.</summary>
/// <param name="Class">Index into <see cref="IDataset.Classes"/>.</param>
/// <param name="Box">Continuous pixel coordinates; finite, of no negative size, not wholly outside the picture, but not clipped.</param>
/// <param name="Crowd">COCO iscrowd: a group that counts neither as found nor as missed.</param>
/// <param name="Difficult">VOC difficult.</param>
/// <param name="Area">COCO area (of the segment, also for box evaluation); the box area where the format has none.</param>
/// <param name="Segmentation">The outline, when the format has one.</param>
internal sealed record ObjectAnnotation(int Class, Box Box, bool Crowd, bool Difficult, double Area, Segmentation? Segmentation);
