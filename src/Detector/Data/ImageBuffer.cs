namespace CudaKernels.Detection;

/// <summary>A picture in memory: 8-bit red, green, blue, interleaved, rows from top to bottom without padding.</summary>
public sealed class ImageBuffer
{
    /// <summary>Wraps pixels without copying them.</summary>
    /// <param name="width">Columns, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    /// <param name="pixels">width * height * 3 bytes; pixel (x, y) starts at (y * width + x) * 3.</param>
    /// <exception cref="ArgumentException">A size below 1, or a pixel array of another length.</exception>
    public ImageBuffer(int width, int height, byte[] pixels)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        if (width < 1 || height < 1) throw new ArgumentException($"ImageBuffer: width and height must be at least 1, got {width}x{height}");
        if (pixels.LongLength != 3L * width * height)
            throw new ArgumentException($"ImageBuffer: {width}x{height} needs {3L * width * height} bytes of pixels, got {pixels.LongLength}", nameof(pixels));
        Width = width;
        Height = height;
        Pixels = pixels;
    }

    /// <summary>A black picture.</summary>
    /// <param name="width">Columns, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    public ImageBuffer(int width, int height)
        : this(width, height, width < 1 || height < 1 ? [] : new byte[checked(3 * width * height)])
    {
    }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Red, green, blue of pixel (x, y) at (y * Width + x) * 3.</summary>
    public byte[] Pixels { get; }
}
