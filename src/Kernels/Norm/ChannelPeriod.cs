namespace CudaKernels.Kernels;

/// <summary>
/// Rows of C channels seen as longer rows of <see cref="Width"/> = C·repeat numbers, a multiple of the widest vector, so that
/// few channels (1, 3, 20, 65) fill the lanes as well as 64 do. Per-channel numbers are repeated to the same width. From 128
/// channels on a scalar tail costs little and rows stay as they are. <see cref="Rest"/> numbers (whole original rows, fewer
/// than one long row) are left over at the end.
/// </summary>
internal readonly unsafe struct ChannelPeriod
{
    private const int WidestVector = 16;
    private const int ManyChannels = 128;

    public ChannelPeriod(long rows, int channels)
    {
        Channels = channels;
        Repeat = 1;
        if (Channels < ManyChannels)
            while (Channels * Repeat % WidestVector != 0)
                Repeat *= 2;
        Width = Channels * Repeat;
        Rows = Width == 0 ? 0 : checked((int)(rows * channels / Width));
        Rest = (int)(rows * channels - (long)Rows * Width);
    }

    public int Channels { get; }

    /// <summary>Original rows in a long one: 1, 2, 4, 8 or 16.</summary>
    public int Repeat { get; }

    public int Width { get; }

    /// <summary>Whole long rows.</summary>
    public int Rows { get; }

    public int Rest { get; }

    /// <summary>Long rows, the partial one at the end included.</summary>
    public int Tasks => Rest > 0 ? Rows + 1 : Rows;

    public int WidthOf(int row) => row < Rows ? Width : Rest;

    /// <summary>Writes <see cref="Repeat"/> copies of the C numbers.</summary>
    public void Expand(ReadOnlySpan<float> perChannel, float* to)
    {
        for (int i = 0; i < Repeat; i++)
            perChannel.CopyTo(new Span<float>(to + i * Channels, Channels));
    }
}
