namespace CudaKernels.Kernels;

/// <summary>How far the taps of a <see cref="Gather"/> reach from a grid point: where all lie inside the source, each is a fixed step away.</summary>
internal readonly unsafe struct TapReach
{
    private readonly nint* offsets;
    private readonly int top, bottom, left, right, height, width;

    /// <param name="gather">The taps and their source.</param>
    /// <param name="offsets">Room for one number per tap.</param>
    public TapReach(in Gather gather, nint* offsets)
    {
        this.offsets = offsets;
        (height, width) = (gather.SourceHeight, gather.SourceWidth);
        for (int tap = 0; tap < gather.Taps; tap++)
        {
            int y = gather.TapY[tap], x = gather.TapX[tap];
            (top, bottom, left, right) = tap == 0 ? (y, y, x, x) : (Math.Min(top, y), Math.Max(bottom, y), Math.Min(left, x), Math.Max(right, x));
            offsets[tap] = y * gather.SourceRow + x * gather.SourcePixel;
        }
    }

    /// <summary>Floats from the pixel at the grid point to that of the tap.</summary>
    public nint Offset(int tap) => offsets[tap];

    public bool IsInsideY(int y) => y + top >= 0 && y + bottom < height;

    public bool IsInsideX(int x) => x + left >= 0 && x + right < width;
}
