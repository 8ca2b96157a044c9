using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;

namespace CudaKernels.Detection;

/// <summary>
/// Bilinear resize to a fixed size; the aspect is not kept. Output pixel x looks at s = (x + 0.5) W_in / W_out - 0.5 (half-pixel
/// centres), clamped to the first and last column, and mixes its two neighbours; rows alike. No smoothing when it shrinks: the rule
/// of the common vision libraries' "linear", which the published networks were trained with.
/// </summary>
/// <remarks>Rows are mixed first, in vectors along the row, then columns. Results are rounded to the nearest byte and clamped.</remarks>
internal static class Resize
{
    /// <summary>ImageNet's mean colour (RGB): what stands outside the pixels of an enlarged picture.</summary>
    public static readonly float[] MeanColour = [123.675f, 116.28f, 103.53f];

    /// <summary>Resizes a whole picture.</summary>
    /// <param name="image">Any size.</param>
    /// <param name="width">Columns of the result.</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="destination">height * width * 3 bytes.</param>
    public static void Bilinear(ImageBuffer image, int width, int height, Span<byte> destination)
    {
        using var work = new WorkPicture(image, []);
        Bilinear(work, width, height, mirror: false, destination);
    }

    /// <summary>Resizes the window of a picture, and mirrors the result left to right if asked to.</summary>
    public static void Bilinear(WorkPicture picture, int width, int height, bool mirror, Span<byte> destination)
    {
        if (destination.Length != width * height * 3)
            throw new ArgumentException($"Resize.Bilinear: destination needs {width * height * 3} bytes for {width}x{height}, got {destination.Length}", nameof(destination));
        var columns = new Taps(picture.Width, width);
        var rows = new Taps(picture.Height, height);
        var rowLength = picture.Width * 3;
        var buffer = ArrayPool<float>.Shared.Rent(3 * rowLength);
        var upper = buffer.AsSpan(0, rowLength);
        var lower = buffer.AsSpan(rowLength, rowLength);
        var mixed = buffer.AsSpan(2 * rowLength, rowLength);
        for (var y = 0; y < height; y++)
        {
            ReadRow(picture, rows.First[y], upper);
            ReadRow(picture, rows.Second[y], lower);
            Mix(upper, lower, rows.Weight[y], mixed);
            var to = (y * width + (mirror ? width - 1 : 0)) * 3;
            var step = mirror ? -3 : 3;
            for (var x = 0; x < width; x++, to += step)
            {
                int a = columns.First[x] * 3, b = columns.Second[x] * 3;
                var weight = columns.Weight[x];
                destination[to] = ToByte(mixed[a] + weight * (mixed[b] - mixed[a]));
                destination[to + 1] = ToByte(mixed[a + 1] + weight * (mixed[b + 1] - mixed[a + 1]));
                destination[to + 2] = ToByte(mixed[a + 2] + weight * (mixed[b + 2] - mixed[a + 2]));
            }
        }

        ArrayPool<float>.Shared.Return(buffer);
    }

    /// Row y of the window: source pixels where there are some, the mean colour elsewhere.
    private static void ReadRow(WorkPicture picture, int y, Span<float> row)
    {
        var sourceY = picture.Top + y;
        var inside = (uint)sourceY < (uint)picture.SourceHeight;
        var from = inside ? Math.Clamp(-picture.Left, 0, picture.Width) : picture.Width;
        var to = inside ? Math.Clamp(picture.SourceWidth - picture.Left, from, picture.Width) : picture.Width;
        Fill(row[..(from * 3)]);
        Fill(row[(to * 3)..]);
        if (to > from) picture.Pixels.Slice((sourceY * picture.SourceWidth + picture.Left + from) * 3, (to - from) * 3).CopyTo(row[(from * 3)..]);
    }

    private static void Fill(Span<float> row)
    {
        for (var i = 0; i < row.Length; i++) row[i] = MeanColour[i % 3];
    }

    private static void Mix(Span<float> upper, Span<float> lower, float weight, Span<float> mixed)
    {
        var a = MemoryMarshal.Cast<float, Vector<float>>(upper);
        var b = MemoryMarshal.Cast<float, Vector<float>>(lower);
        var to = MemoryMarshal.Cast<float, Vector<float>>(mixed);
        for (var i = 0; i < to.Length; i++) to[i] = a[i] + weight * (b[i] - a[i]);
        for (var i = to.Length * Vector<float>.Count; i < mixed.Length; i++) mixed[i] = upper[i] + weight * (lower[i] - upper[i]);
    }

    private static byte ToByte(float value) => (byte)(Math.Clamp(value, 0, 255) + 0.5f);

    /// For every output position the two input positions and the weight of the second.
    private sealed class Taps
    {
        public readonly int[] First;
        public readonly int[] Second;
        public readonly float[] Weight;

        public Taps(int input, int output)
        {
            (First, Second, Weight) = (new int[output], new int[output], new float[output]);
            var scale = (double)input / output;
            for (var i = 0; i < output; i++)
            {
                var position = Math.Clamp((i + 0.5) * scale - 0.5, 0, input - 1);
                First[i] = (int)position;
                Second[i] = Math.Min(First[i] + 1, input - 1);
                Weight[i] = (float)(position - First[i]);
            }
        }
    }
}
