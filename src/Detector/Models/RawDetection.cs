namespace CudaKernels.Detection;

/// <summary>A found object in pixels of the network input, both corners inside the box (width = X2 − X1 + 1).</summary>
internal readonly record struct RawDetection(int Class, float Score, float X1, float Y1, float X2, float Y2)
{
    /// <summary>
    /// The box in continuous pixels of the picture that was resized to the input, clipped to it. The corners are divided by the scale
    /// of each axis before the 1 is added, the inverse of how ground truth comes in.
    /// </summary>
    public Box InPicture(int inputWidth, int inputHeight, int pictureWidth, int pictureHeight)
    {
        double scaleX = (double)pictureWidth / inputWidth, scaleY = (double)pictureHeight / inputHeight;
        return new Box(X1 * scaleX, Y1 * scaleY, X2 * scaleX + 1, Y2 * scaleY + 1).Clip(pictureWidth, pictureHeight);
    }
}
