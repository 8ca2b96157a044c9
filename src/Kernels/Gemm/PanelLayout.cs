namespace CudaKernels.Kernels;

/// <summary>
/// How the right-hand matrix of an implicit product lies in memory once packed. Its rows are (tap, channel) pairs, cut into blocks
/// whose panel stays in the second-level cache while register tiles pass over it. Between blocks sums are stored and loaded again, which
/// costs more than what short blocks gain in the first-level cache. Whole runs of taps while they fit into <see cref="MaxDepth"/>,
/// else one tap and a part of its channels. Order: block, panel of columns, tap, channel, column.
/// </summary>
internal readonly struct PanelLayout
{
    private const int MaxDepth = 1152;

    /// <param name="taps">Positions that are summed over.</param>
    /// <param name="run">Taps that should stay in one block; a divisor of <paramref name="taps"/>.</param>
    /// <param name="channels">Values summed over at each position.</param>
    /// <param name="columns">Columns of the result.</param>
    /// <param name="width">Columns of a panel.</param>
    public PanelLayout(int taps, int run, int channels, int columns, int width)
    {
        (Taps, Channels, Columns, Width) = (taps, channels, columns, width);
        Panels = (columns + width - 1) / width;
        if (run * channels > MaxDepth)
            run = 1;
        int runs = taps / run;
        TapBlocks = Math.Max(1, Parts(runs, Math.Max(1, MaxDepth / Math.Max(1, run * channels))));
        TapsPerBlock = Math.Max(1, Parts(runs, TapBlocks) * run);
        ChannelBlocks = Math.Max(1, Parts(channels, MaxDepth));
        ChannelsPerBlock = Parts(channels, ChannelBlocks);
        Run = run;
    }

    public int Taps { get; }

    public int Channels { get; }

    public int Columns { get; }

    public int Width { get; }

    public int Panels { get; }

    /// <summary>Taps that are together in one block: as asked for, or 1 where that is too deep.</summary>
    public int Run { get; }

    public int Blocks => TapBlocks * ChannelBlocks;

    public long Floats => (long)Panels * Width * Taps * Channels;

    private int TapBlocks { get; }

    private int TapsPerBlock { get; }

    private int ChannelBlocks { get; }

    private int ChannelsPerBlock { get; }

    public PanelBlock Block(int index)
    {
        int tap = index / ChannelBlocks * TapsPerBlock, channel = index % ChannelBlocks * ChannelsPerBlock;
        int taps = Math.Clamp(Taps - tap, 0, TapsPerBlock), channels = Math.Min(ChannelsPerBlock, Channels - channel);
        return new(tap, taps, channel, channels, (long)Panels * Width * ((long)tap * Channels + (long)taps * channel), (long)taps * channels * Width);
    }

    private static int Parts(int total, int size) => (total + size - 1) / size;
}

/// <summary>Taps and channels of one block, where its first panel begins in the packed matrix, and the floats from panel to panel.</summary>
internal readonly record struct PanelBlock(int Tap, int Taps, int Channel, int Channels, long Start, long PanelFloats);
