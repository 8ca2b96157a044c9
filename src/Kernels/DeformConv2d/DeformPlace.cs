using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// What device code must know of a modulated deformable convolution to place samples; see <see cref="DeformSample"/> for the rules. Sample
/// s = (pixel · offsetGroups + g) · taps + t, numbered over the pixels of all images.
/// </summary>
internal readonly record struct DeformPlaces(ArrayView<float> Offset, ArrayView<float> Mask, int HasMask, DeformGrid Grid)
{
    public DeformPlace Of(long sample)
    {
        var (grid, window) = (Grid, Grid.Window);
        long pixel = sample / grid.Samples, row = pixel / grid.OutWidth;
        int tap = (int)((sample - pixel * grid.Samples) % grid.Taps), i = tap / window.KernelWidth;
        float y = (int)(row % grid.OutHeight) * window.StrideY - window.PadY + i * window.DilationY + Offset[2 * sample];
        float x = (int)(pixel - row * grid.OutWidth) * window.StrideX - window.PadX + (tap - i * window.KernelWidth) * window.DilationX + Offset[2 * sample + 1];
        return DeformPlace.At(y, x, grid, HasMask != 0 ? Mask[sample] : 1);
    }
}

/// <summary>The sizes that device code needs.</summary>
internal readonly record struct DeformGrid(
    int Height, int Width, int Channels, int GroupIn, int OutHeight, int OutWidth, int OffsetGroups, int Taps, Window Window)
{
    public static DeformGrid Of(DeformShapes shapes) => new(shapes.Conv.Height, shapes.Conv.Width, shapes.Conv.InChannels, shapes.Conv.GroupIn,
        shapes.Conv.OutHeight, shapes.Conv.OutWidth, shapes.OffsetGroups, shapes.Taps, shapes.Conv.Window);

    /// <summary>Sampling positions of one output pixel.</summary>
    public int Samples => OffsetGroups * Taps;

    public long OutPixels => (long)OutHeight * OutWidth;

    public int GroupChannels => Channels / OffsetGroups;

    /// <summary>Floats of one row of columns: (group, tap, channel of the group).</summary>
    public int RowLength => Channels * Taps;

    /// <summary>Where a channel's value of a tap stands in a row of columns.</summary>
    public int Column(int channel, int tap)
    {
        int group = channel / GroupIn;
        return (group * Taps + tap) * GroupIn + channel - group * GroupIn;
    }
}

/// <summary>One sampling position: pixel (Row, Column) is its top-left corner, which may be one outside of the image.</summary>
internal readonly record struct DeformPlace(int Row, int Column, int Inside, float Down, float Right, float Mask)
{
    /// <summary>A position that is no number counts as inside, with weights that are no numbers: it shows in the result and leads to pixel 0.</summary>
    public static DeformPlace At(float y, float x, DeformGrid grid, float mask)
    {
        // Told by integers: OpenCL code takes comparisons of what is no number for true or false at will.
        if (IsNaN(y) || IsNaN(x))
            return new(0, 0, 1, y + x, y + x, mask);
        if (y < -1 || y >= grid.Height || x < -1 || x >= grid.Width)
            return new(0, 0, 0, 0, 0, mask);
        float floorY = MathF.Floor(y), floorX = MathF.Floor(x);
        return new((int)floorY, (int)floorX, 1, y - floorY, x - floorX, mask);
    }

    public float TopLeft => (1 - Down) * (1 - Right);

    public float TopRight => (1 - Down) * Right;

    public float BottomLeft => Down * (1 - Right);

    public float BottomRight => Down * Right;

    private static bool IsNaN(float value) => (Interop.FloatAsInt(value) & 0x7fffffff) > 0x7f800000;
}

/// <summary>An image (N,H,W,C) on the device; outside of it lies zero.</summary>
internal readonly record struct DeformImage(ArrayView<float> X, DeformGrid Grid)
{
    public float Read(long image, int row, int column, int channel) => row < 0 || row >= Grid.Height || column < 0 || column >= Grid.Width
        ? 0
        : X[((image * Grid.Height + row) * Grid.Width + column) * Grid.Channels + channel];
}
