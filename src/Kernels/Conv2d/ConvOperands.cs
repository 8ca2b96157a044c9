using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Images (N,H,W,C) as the matrix of a convolution: row = a point (n, y, x) of a grid, depth = (tap row, tap column, channel), element =
/// the image at (n, y·StepY + OriginY + tapRow·TapStepY, ...), zero outside. Nothing is copied.
/// </summary>
/// <param name="Values">The images, from the first channel of the first group on.</param>
/// <param name="SourceHeight">H.</param>
/// <param name="SourceWidth">W.</param>
/// <param name="Pixel">Floats from pixel to pixel: all channels.</param>
/// <param name="Height">Of the grid.</param>
/// <param name="Width">Of the grid.</param>
/// <param name="Y">How rows of the grid and taps become rows of the image.</param>
/// <param name="X">The same for columns.</param>
/// <param name="TapWidth">Taps in a row.</param>
/// <param name="Channels">Channels of a group.</param>
internal readonly record struct ImageOperand(
    ArrayView<float> Values, int SourceHeight, int SourceWidth, int Pixel, int Height, int Width, Walk Y, Walk X, int TapWidth, int Channels) : IOperand
{
    public static bool RowsAdjacent => false;

    public Place Row(int row)
    {
        int line = row / Width, image = line / Height;
        int y = (line - image * Height) * Y.Step + Y.Origin, x = (row - line * Width) * X.Step + X.Origin;
        return new(((long)image * SourceHeight * SourceWidth + (long)y * SourceWidth + x) * Pixel, y, x);
    }

    public Place Depth(int depth)
    {
        int tap = depth / Channels, tapY = tap / TapWidth, channel = depth - tap * Channels;
        int y = tapY * Y.TapStep, x = (tap - tapY * TapWidth) * X.TapStep;
        return new(channel + ((long)y * SourceWidth + x) * Pixel, y, x, channel);
    }

    public Place NextRow(Place row, int step)
    {
        long offset = row.Offset + (long)(step * X.Step) * Pixel;
        int y = row.Y, x = row.X + step * X.Step;
        while (x >= Width * X.Step + X.Origin)
        {
            x -= Width * X.Step;
            y += Y.Step;
            offset += ((long)Y.Step * SourceWidth - Width * X.Step) * Pixel;
            if (y == Height * Y.Step + Y.Origin)
            {
                y = Y.Origin;
                offset += (long)(SourceHeight - Height * Y.Step) * SourceWidth * Pixel;
            }
        }
        return new(offset, y, x);
    }

    public Place NextDepth(Place depth, int step)
    {
        long offset = depth.Offset + step;
        int y = depth.Y, x = depth.X, channel = depth.Within + step;
        while (channel >= Channels)
        {
            channel -= Channels;
            x += X.TapStep;
            offset += (long)X.TapStep * Pixel - Channels;
            if (x == TapWidth * X.TapStep)
            {
                x = 0;
                y += Y.TapStep;
                offset += ((long)Y.TapStep * SourceWidth - TapWidth * X.TapStep) * Pixel;
            }
        }
        return new(offset, y, x, channel);
    }

    /// <summary>Negative positions are large ones without a sign.</summary>
    public bool Has(Place row, Place depth) => (uint)(row.Y + depth.Y) < (uint)SourceHeight & (uint)(row.X + depth.X) < (uint)SourceWidth;

    public long Index(Place row, Place depth) => row.Offset + depth.Offset;

    public float Load(Place row, Place depth) => Has(row, depth) ? Values[Index(row, depth)] : 0;

    public F4 LoadFour(Place row, Place depth) => Has(row, depth) ? Values.Cast<F4>()[Index(row, depth) >> 2] : default;
}

/// <summary>
/// Weights (K,R,S,C) as the right-hand side of an input gradient: row = c, depth = (tap row, tap column, k), over some of the taps: the
/// first at <c>Origin</c>, others <c>StepY</c> and <c>StepX</c> floats on; <c>Kernel</c> floats from one k to the next. A place of depth
/// keeps the tap's column, and k, beside its offset.
/// </summary>
internal readonly record struct WeightOperand(ArrayView<float> Values, long Origin, long StepY, long StepX, long Kernel, int TapWidth, int Channels) : IOperand
{
    public static bool RowsAdjacent => true;

    public Place Row(int row) => new(row, 0, 0);

    public Place Depth(int depth)
    {
        int tap = depth / Channels, tapY = tap / TapWidth;
        int channel = depth - tap * Channels, tapX = tap - tapY * TapWidth;
        return new(Origin + channel * Kernel + tapY * StepY + tapX * StepX, 0, tapX, channel);
    }

    public Place NextRow(Place row, int step) => new(row.Offset + step, 0, 0);

    public Place NextDepth(Place depth, int step)
    {
        long offset = depth.Offset + step * Kernel;
        int channel = depth.Within + step, tapX = depth.X;
        while (channel >= Channels)
        {
            channel -= Channels;
            offset += StepX - Channels * Kernel;
            if (++tapX == TapWidth)
            {
                tapX = 0;
                offset += StepY - TapWidth * StepX;
            }
        }
        return new(offset, 0, tapX, channel);
    }

    public bool Has(Place row, Place depth) => true;

    public long Index(Place row, Place depth) => row.Offset + depth.Offset;

    public float Load(Place row, Place depth) => Values[Index(row, depth)];

    public F4 LoadFour(Place row, Place depth) => Values.Cast<F4>()[Index(row, depth) >> 2];
}

/// <summary>Position in the image = point·Step + Origin + tap·TapStep, along one axis.</summary>
internal readonly record struct Walk(int Step, int Origin, int TapStep);

/// <summary>
/// The taps that reach one class of input positions i = First, First + stride, ...: those with i + pad − tap·dilation divisible by the
/// stride, an arithmetic progression. From tap to tap the output position falls by a constant.
/// </summary>
/// <param name="Tap">The first of them.</param>
/// <param name="Step">From one to the next.</param>
/// <param name="Count">How many; none reach some classes when the stride exceeds the kernel.</param>
/// <param name="Walk">From the class's points and taps to output positions.</param>
internal readonly record struct TapClass(int Tap, int Step, int Count, Walk Walk)
{
    public static TapClass Of(int first, int kernel, int stride, int pad, int dilation)
    {
        int period = 1;
        while (period * dilation % stride != 0)
            period++;
        for (int tap = 0; tap < Math.Min(period, kernel); tap++)
            if ((first + pad - tap * dilation) % stride == 0)
                return new(tap, period, (kernel - tap + period - 1) / period, new(1, (first + pad - tap * dilation) / stride, -(dilation * period / stride)));
        return default;
    }
}
