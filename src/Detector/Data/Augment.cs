namespace CudaKernels.Detection;

/// <summary>
/// From a decoded picture and its boxes to what the network is fed: photometric distortion, expand and min-IoU crop where the recipe
/// asks for them, then always resize to a square (aspect not kept) and, in training, a mirror with probability one half.
/// </summary>
/// <remarks>
/// The published pipeline stays in float up to normalisation; here the result is rounded and clamped to bytes after the resize, because
/// bytes are what travels to the device. Only distorted pictures with values beyond 0..255 see the difference.
/// </remarks>
internal static class Augment
{
    private const double MirrorProbability = 0.5;

    /// <summary>A training picture with random changes.</summary>
    /// <param name="image">The decoded picture.</param>
    /// <param name="boxes">Its boxes in pixels of the picture.</param>
    /// <param name="kind">Which changes.</param>
    /// <param name="size">Side of the result.</param>
    /// <param name="random">The sample's own random numbers.</param>
    /// <param name="destination">size * size * 3 bytes: rows of red, green, blue.</param>
    /// <returns>The boxes in pixels of the result; at least one if there was one.</returns>
    public static PixelBox[] Train(ImageBuffer image, PixelBox[] boxes, Augmentation kind, int size, RandomStream random, Span<byte> destination)
    {
        using var picture = new WorkPicture(image, boxes);
        if (kind == Augmentation.Full)
        {
            PhotometricDistortion.Apply(picture, random);
            Expand.Apply(picture, random);
            MinIouCrop.Apply(picture, random);
        }

        return Finish(picture, size, random.Chance(MirrorProbability), destination);
    }

    /// <summary>A picture as evaluation and detection see it: resized, nothing random.</summary>
    public static PixelBox[] Evaluate(ImageBuffer image, PixelBox[] boxes, int size, Span<byte> destination)
    {
        using var picture = new WorkPicture(image, boxes);
        return Finish(picture, size, mirror: false, destination);
    }

    private static PixelBox[] Finish(WorkPicture picture, int size, bool mirror, Span<byte> destination)
    {
        Resize.Bilinear(picture, size, size, mirror, destination);
        float scaleX = (float)size / picture.Width, scaleY = (float)size / picture.Height;
        var boxes = new PixelBox[picture.Boxes.Count];
        for (var i = 0; i < boxes.Length; i++)
        {
            boxes[i] = picture.Boxes[i].Scale(scaleX, scaleY, size, size);
            if (mirror) boxes[i] = boxes[i].Mirror(size);
        }

        return boxes;
    }
}
