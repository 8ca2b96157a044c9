namespace CudaKernels.Kernels;

/// <summary>
/// What the passes of batch and group norm see of an activation: images of rows of channels, the channels in groups. Each (image, group)
/// has its own mean and variance, at [image · Groups + group]. Batch norm is the case of one image whose groups are single channels.
/// </summary>
internal readonly record struct NormLayout(int Images, long Rows, int Channels, int Groups)
{
    public int GroupChannels => Channels / Math.Max(1, Groups);

    /// <summary>Elements of an image.</summary>
    public long ImageLength => Rows * Channels;

    /// <summary>Elements behind one mean.</summary>
    public long GroupLength => Rows * GroupChannels;

    /// <summary>The same with so many channels counted as one: they are of one group, or groups of their own.</summary>
    public NormLayout InLanes(int count) => this with { Channels = Channels / count, Groups = GroupChannels == 1 ? Groups / count : Groups };

    public static NormLayout Batch(Shape shape) => new(1, shape.Rows, shape.Channels, shape.Channels);

    /// <summary>The first dimension counts images, the last one channels.</summary>
    public static NormLayout Group(Shape shape, int groups) =>
        new(shape[0], shape[0] == 0 ? 0 : shape.Rows / shape[0], shape.Channels, groups);
}
