using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// The long rows of a <see cref="ChannelPeriod"/> cut into blocks of about 256 KB, which a core's second-level cache holds.
/// Per-channel sums are made per block and merged in block order, so they do not depend on the threads.
/// </summary>
internal readonly struct ChannelBlocks(ChannelPeriod period)
{
    private const int BlockElements = 256 * 1024 / sizeof(float);

    public int Width { get; } = period.Width;

    /// <summary>Long rows in every block but the last.</summary>
    public int Rows { get; } = Math.Max(1, BlockElements / Math.Max(1, period.Width));

    public int Count => (period.Rows + Rows - 1) / Rows;

    public (int First, int Last) Range(int block) => (block * Rows, Math.Min((block + 1) * Rows, period.Rows));

    public int RowsOf(int block) => Math.Min(Rows, period.Rows - block * Rows);
}

/// <summary>Channels in groups whose double accumulators fit a small array on the stack: the tasks of a merge of block sums.</summary>
internal static class ChannelSlab
{
    public const int Size = 64;

    public static int Count(int channels) => (channels + Size - 1) / Size;

    public static int Grain(ChannelBlocks blocks) => VectorRange.Grain(8L * blocks.Count * Size);
}
