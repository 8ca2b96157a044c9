using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>A <see cref="ChannelGrid"/> for each image, one after another: groups never cross the border of an image.</summary>
internal readonly struct ImageGrid(NormLayout layout, int rowsPerThread, int mostGroups = int.MaxValue)
{
    public ChannelGrid One { get; } = new(layout.Rows, layout.Channels, rowsPerThread, Math.Max(1, mostGroups / Math.Max(1, layout.Images)));

    public NormLayout Layout { get; } = layout;

    public long Groups => Layout.Images * One.Groups;

    /// <summary>From a row of this thread to its next, in elements.</summary>
    public long Stride => (long)One.Step * Layout.Channels;

    /// <summary>In a kernel: this group's image.</summary>
    public int Image => Grid.IdxX / (One.Tiles * One.Chunks);

    /// <summary>In a kernel: this thread's channel; it may lie behind the last.</summary>
    public int Channel => One.Channel;

    /// <summary>In a kernel: this group's chunk of its image.</summary>
    public int Chunk => One.Chunk - Image * One.Chunks;

    /// <summary>In a kernel: this thread's first row in its image.</summary>
    public int FirstRow => Chunk * One.ChunkRows + Group.IdxX / One.Columns;

    /// <summary>In a kernel: the row behind the last one of this group.</summary>
    public int EndRow => Math.Min(One.Rows, (Chunk + 1) * One.ChunkRows);

    /// <summary>In a kernel: where this thread's channel of a row lies.</summary>
    public long At(int row) => ((long)Image * One.Rows + row) * Layout.Channels + Channel;

    /// <summary>In a kernel: this thread's (image, channel).</summary>
    public long OfChannel => (long)Image * Layout.Channels + Channel;

    /// <summary>In a kernel: this thread's (image, group of channels).</summary>
    public long OfGroup => (long)Image * Layout.Groups + Channel / Layout.GroupChannels;
}
