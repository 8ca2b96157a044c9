using System.Buffers;
using System.Runtime.InteropServices;
using SkiaSharp;

namespace CudaKernels.Detection;

/// <summary>
/// Picture files in and out: the only place that decodes or encodes images, so that another image library could serve instead.
/// </summary>
/// <remarks>
/// A file must decode completely: a truncated or damaged file is an error, never a partly grey picture. The pixel count is checked
/// from the header before anything is allocated. The EXIF orientation is applied. Grey, palette and 1-bit pictures become RGB; of
/// 16-bit samples the high byte is kept; alpha is dropped (the stored colours are used as they are, nothing is composited); embedded
/// colour profiles are not applied, as is usual for training data. CMYK JPEG is converted without a profile. Of an animation the
/// first frame is taken.
/// </remarks>
internal static class ImageFile
{
    /// <summary>100 million pixels: above every camera, far below what exhausts a machine.</summary>
    public const long DefaultMaxPixels = 100_000_000;

    private const long MaxFileBytes = 1L << 30;

    /// <summary>Name and version of the library that decodes, for the environment report.</summary>
    public static string LibraryVersion => $"SkiaSharp {SkiaSharpVersion.Native}";

    /// <summary>Reads and decodes a file.</summary>
    /// <exception cref="DataException">Missing, unreadable, not an image, too large, truncated or damaged; the message names the file.</exception>
    public static ImageBuffer Load(string path, long maxPixels = DefaultMaxPixels) => Decode(ReadFile(path), path, maxPixels);

    /// <summary>Width and height after EXIF rotation, from the header alone.</summary>
    /// <exception cref="DataException">As for <see cref="Load"/>, but damage behind the header is not seen.</exception>
    public static (int Width, int Height) ReadSize(string path, long maxPixels = DefaultMaxPixels)
    {
        RequireFile(path);
        using var codec = SKCodec.Create(path);
        CheckHeader(codec, path, maxPixels);
        return SwapsSides(codec!.EncodedOrigin) ? (codec.Info.Height, codec.Info.Width) : (codec.Info.Width, codec.Info.Height);
    }

    /// <summary>Decodes the bytes of a picture file; <paramref name="name"/> stands for the path in messages.</summary>
    public static ImageBuffer Decode(byte[] bytes, string name, long maxPixels = DefaultMaxPixels)
    {
        if (bytes.Length == 0) throw new DataException($"{name}: the file is empty, expected a picture");
        using var data = SKData.CreateCopy(bytes);
        using var stream = new SKMemoryStream(data);
        using var codec = SKCodec.Create(stream);
        CheckHeader(codec, name, maxPixels);

        // Four bytes a pixel is the narrowest colour format the codecs write; unpremultiplied keeps the stored colours under alpha,
        // and the absent colour space switches colour management off.
        var info = new SKImageInfo(codec!.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul, null);
        SKCodecResult result;
        var rgba = ArrayPool<byte>.Shared.Rent(info.BytesSize);
        try
        {
            var pinned = GCHandle.Alloc(rgba, GCHandleType.Pinned);
            try
            {
                result = codec.GetPixels(info, pinned.AddrOfPinnedObject(), info.RowBytes, SKCodecOptions.Default);
            }
            finally
            {
                pinned.Free();
            }

            if (result == SKCodecResult.IncompleteInput)
                throw new DataException($"{name}: the picture is truncated (the file ends before its {info.Width}x{info.Height} pixels do); copy or download it again");
            if (result != SKCodecResult.Success)
                throw new DataException($"{name}: the picture is damaged ({Describe(result)}) and cannot be decoded");
            return Orient(rgba, info.Width, info.Height, codec.EncodedOrigin);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rgba);
        }
    }

    /// <summary>Writes a PNG (lossless).</summary>
    /// <exception cref="DataException">The file cannot be written.</exception>
    public static void SavePng(ImageBuffer image, string path) => Save(image, path, SKEncodedImageFormat.Png, 100);

    /// <summary>Writes a JPEG; quality 1 to 100.</summary>
    /// <exception cref="DataException">The file cannot be written.</exception>
    public static void SaveJpeg(ImageBuffer image, string path, int quality = 90) => Save(image, path, SKEncodedImageFormat.Jpeg, quality);

    private static void Save(ImageBuffer image, string path, SKEncodedImageFormat format, int quality)
    {
        var info = new SKImageInfo(image.Width, image.Height, SKColorType.Rgb888x, SKAlphaType.Opaque);
        var rgbx = new byte[info.BytesSize];
        for (int from = 0, to = 0; from < image.Pixels.Length; from += 3, to += 4)
        {
            rgbx[to] = image.Pixels[from];
            rgbx[to + 1] = image.Pixels[from + 1];
            rgbx[to + 2] = image.Pixels[from + 2];
            rgbx[to + 3] = byte.MaxValue;
        }

        using var picture = SKImage.FromPixelCopy(info, rgbx, info.RowBytes);
        using var encoded = picture.Encode(format, quality)
            ?? throw new DataException($"{path}: a picture of {image.Width}x{image.Height} cannot be encoded as {format}");
        bool created = false;
        try
        {
            using var file = File.Create(path);
            created = true;
            encoded.SaveTo(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            if (created)
                File.Delete(path); // a cut picture is worse than none
            throw new DataException($"{path}: cannot write the picture: {error.Message}", error);
        }
    }

    private static byte[] ReadFile(string path)
    {
        var length = RequireFile(path);
        if (length > MaxFileBytes) throw new DataException($"{path}: the file has {length} bytes; pictures of more than {MaxFileBytes} bytes are refused");
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path}: cannot read the picture: {error.Message}", error);
        }
    }

    private static long RequireFile(string path)
    {
        if (Directory.Exists(path)) throw new DataException($"{path}: is a folder, expected a picture file");
        var file = new FileInfo(path);
        if (!file.Exists) throw new DataException($"{path}: the picture does not exist");
        if (file.Length == 0) throw new DataException($"{path}: the file is empty, expected a picture");
        return file.Length;
    }

    private static void CheckHeader(SKCodec? codec, string name, long maxPixels)
    {
        if (codec is null)
            throw new DataException($"{name}: is not a picture this program can read (expected JPEG, PNG, BMP, WEBP or GIF), or is cut off inside its header");
        var pixels = (long)codec.Info.Width * codec.Info.Height;
        maxPixels = Math.Min(maxPixels, int.MaxValue / 4); // four bytes a pixel in one array
        if (pixels < 1) throw new DataException($"{name}: the picture has no pixels ({codec.Info.Width}x{codec.Info.Height})");
        if (pixels > maxPixels)
            throw new DataException($"{name}: the picture has {codec.Info.Width}x{codec.Info.Height} = {pixels} pixels, more than the limit of {maxPixels}; scale it down");
    }

    /// Drops the fourth byte and puts pixel (x, y) of the upright picture from where the EXIF orientation says it was stored.
    private static ImageBuffer Orient(byte[] rgba, int width, int height, SKEncodedOrigin origin)
    {
        // Stored index of upright pixel (x, y) is start + x * stepX + y * stepY.
        var (start, stepX, stepY) = origin switch
        {
            SKEncodedOrigin.TopRight => (width - 1, -1, width),
            SKEncodedOrigin.BottomRight => (width * height - 1, -1, -width),
            SKEncodedOrigin.BottomLeft => (width * (height - 1), 1, -width),
            SKEncodedOrigin.LeftTop => (0, width, 1),
            SKEncodedOrigin.RightTop => (width * (height - 1), -width, 1),
            SKEncodedOrigin.RightBottom => (width * height - 1, -width, -1),
            SKEncodedOrigin.LeftBottom => (width - 1, width, -1),
            _ => (0, 1, width),
        };
        var upright = SwapsSides(origin) ? new ImageBuffer(height, width) : new ImageBuffer(width, height);
        var pixels = upright.Pixels;
        var to = 0;
        for (var y = 0; y < upright.Height; y++)
        {
            var from = 4 * (start + y * stepY);
            for (var x = 0; x < upright.Width; x++, from += 4 * stepX, to += 3)
            {
                pixels[to] = rgba[from];
                pixels[to + 1] = rgba[from + 1];
                pixels[to + 2] = rgba[from + 2];
            }
        }

        return upright;
    }

    private static bool SwapsSides(SKEncodedOrigin origin) =>
        origin is SKEncodedOrigin.LeftTop or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom;

    private static string Describe(SKCodecResult result) => result switch
    {
        SKCodecResult.ErrorInInput or SKCodecResult.InvalidInput => "its data contradicts the format",
        SKCodecResult.Unimplemented or SKCodecResult.InvalidConversion => "its pixel format is not supported",
        _ => result.ToString(),
    };
}
