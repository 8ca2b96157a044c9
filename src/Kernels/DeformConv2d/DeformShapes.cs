namespace CudaKernels.Kernels;

/// <summary>
/// The sizes of a modulated deformable convolution and how its work is cut. Cuts that a sum's order depends on follow from the
/// problem's shape alone, so that results are the same for every number of threads.
/// </summary>
internal readonly record struct DeformShapes
{
    /// <summary>Output pixels whose columns are made and multiplied at a time by one thread; a multiple of the register tile's rows.</summary>
    public const int TilePixels = 48;

    // A chunk is what a step of all threads together leaves for the next: large enough to amortise what is done once a chunk,
    // small enough for the caches.
    private const int ChunkBytes = 2 << 20;
    private const int SmallestChunk = 5 * TilePixels;
    private const int WidestSlice = 64;

    public DeformShapes(Conv2dShapes conv, int offsetGroups)
    {
        (Conv, OffsetGroups) = (conv, offsetGroups);
        // Channels that share both their weight group and their offset group: the width of two aligned grids' common cell.
        Segment = (int)System.Numerics.BigInteger.GreatestCommonDivisor(conv.GroupIn, conv.InChannels / offsetGroups);
        int pieces = (Segment + WidestSlice - 1) / WidestSlice;
        SliceWidth = pieces == 1 ? Segment : ((Segment + pieces - 1) / pieces + 15) / 16 * 16;
        Pieces = (Segment + SliceWidth - 1) / SliceWidth;
    }

    public Conv2dShapes Conv { get; }

    public int OffsetGroups { get; }

    /// <summary>Consecutive channels within one weight group and one offset group.</summary>
    public int Segment { get; }

    /// <summary>Channels one task of a scatter owns: a part of a segment.</summary>
    public int SliceWidth { get; }

    /// <summary>Slices a segment.</summary>
    public int Pieces { get; }

    public int Segments => Conv.InChannels / Segment;

    public int Slices => Segments * Pieces;

    public int SlicesOfOffsetGroup => Slices / OffsetGroups;

    public int Taps => Conv.Window.Area;

    /// <summary>Sampling positions of one output pixel.</summary>
    public int Samples => OffsetGroups * Taps;

    /// <summary>Output pixels of one image.</summary>
    public long ImagePixels => (long)Conv.OutHeight * Conv.OutWidth;

    /// <summary>Elements of one input image.</summary>
    public long ImageLength => (long)Conv.Height * Conv.Width * Conv.InChannels;

    /// <summary>Floats of one row of columns: (group, tap, channel of the group).</summary>
    public int RowLength => Conv.InChannels * Taps;

    /// <summary>Column values of one group in a row: the length of the sums that make y.</summary>
    public int GroupDepth => Conv.GroupIn * Taps;

    public double Flops => Conv.Flops;

    /// <summary>
    /// Output pixels worked on at a time by all threads together: a multiple of <see cref="TilePixels"/>, at least
    /// <paramref name="smallest"/> if there are so many, and the same for all chunks but the last.
    /// </summary>
    public int ChunkPixels(int smallest = SmallestChunk)
    {
        long fitting = Math.Max(Math.Max(smallest, SmallestChunk), ChunkBytes / (sizeof(float) * (long)RowLength));
        long chunks = Math.Max(1, (Conv.Outputs + fitting - 1) / fitting);
        return Tiles((Conv.Outputs + chunks - 1) / chunks) * TilePixels;
    }

    /// <summary>Tiles that cover so many output pixels.</summary>
    public int Tiles(long pixels) => checked((int)((pixels + TilePixels - 1) / TilePixels));

    /// <summary>First channel of a slice and the one behind its last.</summary>
    public (int Begin, int End) Slice(int slice)
    {
        int segment = slice / Pieces, begin = segment * Segment + slice % Pieces * SliceWidth;
        return (begin, Math.Min(begin + SliceWidth, (segment + 1) * Segment));
    }

    /// <summary>Where the column values of a channel start in a row; taps follow at a distance of the group's channels.</summary>
    public int ColumnOf(int channel) => channel / Conv.GroupIn * Conv.GroupIn * Taps + channel % Conv.GroupIn;

    public static void Validate(
        string operation, TensorView x, TensorView offset, TensorView mask, TensorView weight, string yName, TensorView y, Window window, int groups, int offsetGroups,
        string weightName = "weight")
    {
        Conv2dShapes.Validate(operation, "x", x, weightName, weight, yName, y, window, groups);
        Check.That(offsetGroups >= 1 && x.Shape[3] % offsetGroups == 0, operation, "offsetGroups", $"a divisor of {x.Shape[3]} input channels", offsetGroups);
        Check.That((long)x.Shape[1] * x.Shape[2] * x.Shape[3] <= int.MaxValue, operation, "x", "at most 2^31 - 1 elements an image", x);
        int samples = offsetGroups * window.Area;
        Check.Shape(operation, "offset", offset, new Shape(y.Shape[0], y.Shape[1], y.Shape[2], 2 * samples));
        Check.Optional(operation, "mask", mask, new Shape(y.Shape[0], y.Shape[1], y.Shape[2], samples));
    }
}
