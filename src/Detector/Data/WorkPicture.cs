using System.Buffers;

namespace CudaKernels.Detection;

/// <summary>
/// A picture on its way through augmentation: float RGB (0 to 255, not clamped), and the window of it that is looked at. The window may
/// reach outside the pixels, where the fill colour is seen; so enlarging and cropping cost nothing until the picture is resized.
/// </summary>
internal sealed class WorkPicture : IDisposable
{
    private float[]? pixels;

    public WorkPicture(ImageBuffer image, IEnumerable<PixelBox> boxes)
    {
        SourceWidth = image.Width;
        SourceHeight = image.Height;
        (Width, Height) = (image.Width, image.Height);
        Boxes = [.. boxes];
        pixels = ArrayPool<float>.Shared.Rent(image.Pixels.Length);
        var bytes = image.Pixels;
        for (var i = 0; i < bytes.Length; i++) pixels[i] = bytes[i];
    }

    /// <summary>Columns of <see cref="Pixels"/>.</summary>
    public int SourceWidth { get; }

    /// <summary>Rows of <see cref="Pixels"/>.</summary>
    public int SourceHeight { get; }

    /// <summary>SourceHeight * SourceWidth * 3 values: red, green, blue.</summary>
    public Span<float> Pixels => (pixels ?? throw new ObjectDisposedException(nameof(WorkPicture))).AsSpan(0, SourceWidth * SourceHeight * 3);

    /// <summary>Column of the source where the window begins; negative when it reaches over the left edge.</summary>
    public int Left { get; set; }

    /// <summary>Row of the source where the window begins.</summary>
    public int Top { get; set; }

    /// <summary>Columns of the window.</summary>
    public int Width { get; set; }

    /// <summary>Rows of the window.</summary>
    public int Height { get; set; }

    /// <summary>The boxes, relative to the window.</summary>
    public List<PixelBox> Boxes { get; set; }

    public void Dispose()
    {
        if (pixels is { } rented) ArrayPool<float>.Shared.Return(rented);
        pixels = null;
    }
}
