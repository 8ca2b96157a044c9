namespace CudaKernels.Detection;

/// <summary>
/// A labelled box in the convention TTFNet trains in: corners are the first and the last pixel, so its width is X2 - X1 + 1 and the
/// mirrored box in a picture of width W is (W - 1 - X2, W - 1 - X1). Everything else in this library uses the continuous <see cref="Box"/>.
/// </summary>
/// <param name="X1">First column.</param>
/// <param name="Y1">First row.</param>
/// <param name="X2">Last column.</param>
/// <param name="Y2">Last row.</param>
/// <param name="Class">Index into <see cref="IDataset.Classes"/>.</param>
internal readonly record struct PixelBox(float X1, float Y1, float X2, float Y2, int Class)
{
    /// <summary>COCO's [x, y, w, h] becomes [x, y, x + w - 1, y + h - 1]. The only place where the two conventions meet in training.</summary>
    public static PixelBox From(Box box, int label) => new((float)box.X1, (float)box.Y1, (float)(box.X2 - 1), (float)(box.Y2 - 1), label);

    /// <summary>The box after the picture was scaled, kept within the last pixel of the new size.</summary>
    public PixelBox Scale(float scaleX, float scaleY, int width, int height) => this with
    {
        X1 = Math.Clamp(X1 * scaleX, 0, width - 1),
        Y1 = Math.Clamp(Y1 * scaleY, 0, height - 1),
        X2 = Math.Clamp(X2 * scaleX, 0, width - 1),
        Y2 = Math.Clamp(Y2 * scaleY, 0, height - 1),
    };

    /// <summary>The box after the picture of this width was mirrored left to right.</summary>
    public PixelBox Mirror(int width) => this with { X1 = width - 1 - X2, X2 = width - 1 - X1 };

    /// <summary>The box with the origin moved to (x, y).</summary>
    public PixelBox Move(float x, float y) => this with { X1 = X1 - x, Y1 = Y1 - y, X2 = X2 - x, Y2 = Y2 - y };
}
