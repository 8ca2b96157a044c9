using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// How the ILGPU path lays threads over rows of channels. A group of 256 threads is <see cref="Columns"/> channels wide, a power of
/// two up to 32, so that neighbouring threads read neighbouring numbers, and <see cref="Step"/> rows high; it walks down a chunk of
/// rows, and its threads keep their channel, so that per-channel numbers are read once and no element costs a division.
/// Chunks follow from the shape alone: per-channel sums over them are the same on every run.
/// </summary>
internal readonly struct ChannelGrid
{
    public const int Threads = 256;
    private const int MostColumns = 32, MostRows = 1 << 30;

    /// <param name="rows">Rows, of an activation its pixels.</param>
    /// <param name="channels">Channels; several whole tiles of columns where there are more than 32.</param>
    /// <param name="rowsPerThread">Rows a thread walks down, where <paramref name="mostGroups"/> does not ask for more.</param>
    /// <param name="mostGroups">Groups at most: for reductions, whose groups leave a partial result each.</param>
    public ChannelGrid(long rows, int channels, int rowsPerThread, int mostGroups = int.MaxValue)
    {
        if (rows > MostRows)
            throw new KernelException($"ChannelGrid: expects at most {MostRows} rows of channels on this device but got {rows}; use a smaller batch");
        (Rows, Channels, Columns) = ((int)rows, channels, 1);
        while (Columns < MostColumns && Columns < channels)
            Columns *= 2;
        Tiles = (channels + Columns - 1) / Columns;
        int fewest = Step * rowsPerThread, most = Math.Max(1, mostGroups / Math.Max(1, Tiles));
        ChunkRows = Math.Max(fewest, (Rows + most - 1) / most);
        Chunks = Math.Max(1, (Rows + ChunkRows - 1) / ChunkRows);
    }

    public int Rows { get; }

    public int Channels { get; }

    /// <summary>Channels of a group.</summary>
    public int Columns { get; }

    /// <summary>Groups side by side that cover the channels.</summary>
    public int Tiles { get; }

    public int ChunkRows { get; }

    /// <summary>At least one, so that reductions of no rows write their zeros.</summary>
    public int Chunks { get; }

    public long Groups => (long)Tiles * Chunks;

    /// <summary>From a row of this thread to its next.</summary>
    public int Step => Threads / Columns;

    /// <summary>In a kernel: this thread's channel; it may lie behind the last.</summary>
    public int Channel => Grid.IdxX % Tiles * Columns + Group.IdxX % Columns;

    /// <summary>In a kernel: this group's chunk.</summary>
    public int Chunk => Grid.IdxX / Tiles;

    /// <summary>In a kernel: this thread's first row.</summary>
    public int FirstRow => Chunk * ChunkRows + Group.IdxX / Columns;

    /// <summary>In a kernel: the row behind the last one of this group.</summary>
    public int EndRow => Math.Min(Rows, (Chunk + 1) * ChunkRows);

    public int RowsOf(int chunk) => Math.Min(Rows, (chunk + 1) * ChunkRows) - chunk * ChunkRows;
}
