using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Matrix product whose left-hand rows are gathered, not copied: rows = points of a grid, depth = taps x channels, columns =
/// output channels (see <see cref="Gather"/>). The weights are packed once into panels; the source is read where it lies, through
/// a table of row pointers (one per grid point and tap; padding points at a row of zeros), the "indirect convolution" of
/// M. Dukhan, 2019. Order of the loops in one thread: block of rows (its part of the source stays in the second-level cache), block
/// of depth, panel, register tile. Sums run over depth in one order for every element, so
/// the way rows and panels are dealt to threads does not show in the result.
/// </summary>
internal static unsafe class ImplicitGemm
{
    private const int RowsPerBlock = 60;

    public static void Run<TVector>(CpuDevice device, in Gather gather, string owner) where TVector : unmanaged, ISimd<TVector>
    {
        int height = RegisterTile.Rows<TVector>(), tiles = (gather.Rows + height - 1) / height;
        if (tiles == 0 || gather.Columns == 0)
            return;
        var layout = new PanelLayout(gather.Taps, gather.Run, gather.Channels, gather.Columns, RegisterTile.Width<TVector>());
        int tilesPerBlock = Math.Max(1, RowsPerBlock / height);
        int rowBlocks = (tiles + tilesPerBlock - 1) / tilesPerBlock;
        tilesPerBlock = (tiles + rowBlocks - 1) / rowBlocks;

        long tableBytes = tilesPerBlock * height * (gather.Taps + 1L) * sizeof(float*) + tilesPerBlock;
        int padding = gather.ChannelStep == 1 ? layout.Run * gather.Channels : 0;            // a matrix read by columns has no padding
        int zeroBytes = (padding * sizeof(float) + 63) / 64 * 64, offsetBytes = gather.Taps * sizeof(nint);
        using var packed = new Scratch(device, new Shape(checked((int)layout.Floats)), DType.F32, owner);
        using var tables = new WorkerScratch(device, tableBytes, owner);
        using var scratch = new Scratch(device, new Shape(checked(zeroBytes + offsetBytes)), DType.U8, owner);
        var zeros = (float*)scratch.U8;
        new Span<byte>(zeros, zeroBytes).Clear();

        device.Team.For(layout.Blocks * layout.Panels, new PackBody<TVector> { Gather = gather, Layout = layout, Packed = packed.F32 });
        device.Team.For(checked(rowBlocks * layout.Panels), new MultiplyBody<TVector>
        {
            Gather = gather,
            Layout = layout,
            Packed = packed.F32,
            Tables = tables.Memory,
            Zeros = zeros,
            Reach = new(gather, (nint*)((byte*)zeros + zeroBytes)),
            Tiles = tiles,
            TilesPerBlock = tilesPerBlock,
            RowBlocks = rowBlocks,
            Past = layout.Blocks == 1 && IsPast<TVector>(gather),
        });
    }

    /// <summary>Whether the target is worth stores past the caches, is not read before, and all its rows are where they may begin.</summary>
    private static bool IsPast<TVector>(in Gather gather) where TVector : unmanaged, ISimd<TVector> =>
        PastCache.Suits((long)gather.Rows * gather.Columns * sizeof(float)) && !(gather.Accumulate && gather.Addend == 0)
        && PastCache.Aligned<TVector>(gather.Target) && (gather.TargetImage | gather.TargetRow | gather.TargetPixel) % TVector.Count == 0;

    /// <summary>One panel of one block a task.</summary>
    private struct PackBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Gather Gather;
        public PanelLayout Layout;
        public float* Packed;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int task = start; task < end; task++)
            {
                var block = Layout.Block(task / Layout.Panels);
                int panel = task % Layout.Panels, column = panel * Layout.Width;
                float* to = Packed + block.Start + panel * block.PanelFloats;
                for (int tap = block.Tap; tap < block.Tap + block.Taps; tap++, to += block.Channels * Layout.Width)
                    Panel.Pack<TVector>(Gather.Weight + Gather.TapWeight[tap] + block.Channel * Gather.WeightChannel + column * Gather.WeightColumn,
                        block.Channels, Gather.WeightChannel, Math.Min(Layout.Width, Layout.Columns - column), Gather.WeightColumn, to);
                if (Gather.Scale != null)
                    Panel.Scale<TVector>(Packed + block.Start + panel * block.PanelFloats, block.Taps * block.Channels, Gather.Scale + column, Math.Min(Layout.Width, Layout.Columns - column));
            }
        }
    }

    /// <summary>One block of rows times one panel a task; those that are taken together and share their rows are one product.</summary>
    private struct MultiplyBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Gather Gather;
        public PanelLayout Layout;
        public TapReach Reach;
        public float* Packed, Zeros;
        public WorkerMemory Tables;
        public int Tiles, TilesPerBlock, RowBlocks;
        public bool Past;

        public readonly void Invoke(int start, int end, int worker)
        {
            int height = RegisterTile.Rows<TVector>(), panels = Layout.Panels;
            var sources = (float**)Tables.Bytes(worker);                                     // (tile, tap, row of the tile)
            float** targets = sources + TilesPerBlock * height * Gather.Taps;                // (tile, row of the tile)
            var inside = (bool*)(targets + TilesPerBlock * height);                          // (tile): runs of taps are contiguous
            for (int task = start, last; task < end; task = last)
            {
                int rowBlock = task / panels, firstPanel = task - rowBlock * panels;
                last = Math.Min(end, (rowBlock + 1) * panels);
                int firstTile = (int)((long)rowBlock * Tiles / RowBlocks), tiles = (int)((rowBlock + 1L) * Tiles / RowBlocks) - firstTile;
                Fill(firstTile, tiles, height, sources, targets, inside);
                Multiply(tiles, height, sources, targets, inside, firstPanel, firstPanel + last - task);
            }
        }

        [MethodImpl(HotLoop.Options)]
        private readonly void Multiply(int tiles, int height, float** sources, float** targets, bool* inside, int firstPanel, int lastPanel)
        {
            for (int index = 0; index < Layout.Blocks; index++)
            {
                var block = Layout.Block(index);
                int run = Layout.Run;
                var single = new TileWork
                {
                    Taps = block.Taps,
                    TapStride = height,
                    Depth = block.Channels,
                    Step = Gather.ChannelStep,
                    Shift = (nint)block.Channel * Gather.ChannelStep,
                    Accumulate = Gather.Accumulate || index > 0,
                    Addend = index == 0 ? Gather.Addend : 0,
                    Bias = index == 0 ? Gather.Bias : null,
                    Factor = index == Layout.Blocks - 1 ? Gather.Factor : 1,
                    Past = Past,
                };
                for (int panel = firstPanel; panel < lastPanel; panel++)
                {
                    single.Column = panel * Layout.Width;
                    single.Columns = Math.Min(Layout.Width, Layout.Columns - single.Column);
                    var merged = single;
                    merged.Taps = block.Taps / run;
                    merged.TapStride = height * run;
                    merged.Depth = block.Channels * run;
                    float* b = Packed + block.Start + panel * block.PanelFloats;
                    for (int tile = 0; tile < tiles; tile++)
                        RegisterTile.Multiply<TVector>(inside[tile] ? merged : single,
                            sources + ((nint)tile * Gather.Taps + block.Tap) * height, b, targets + (nint)tile * height);
                }
            }
        }

        /// <summary>Writes the row pointers of a block; rows behind the last one repeat it.</summary>
        [MethodImpl(HotLoop.Options)]
        private readonly void Fill(int firstTile, int tiles, int height, float** sources, float** targets, bool* inside)
        {
            int row = firstTile * height, last = Gather.Rows - 1;
            int x = row % Gather.Width, rest = row / Gather.Width, y = rest % Gather.Height, image = rest / Gather.Height;
            for (int tile = 0; tile < tiles; tile++, sources += Gather.Taps * height, targets += height)
            {
                bool allInside = Layout.Run > 1;
                for (int i = 0; i < height; i++)
                {
                    targets[i] = Gather.Target + image * Gather.TargetImage + y * Gather.TargetRow + x * Gather.TargetPixel;
                    float* from = Gather.Source + image * Gather.SourceImage;
                    int sourceY = y * Gather.StepY, sourceX = x * Gather.StepX;
                    bool insideX = Reach.IsInsideX(sourceX);
                    allInside &= insideX;
                    if (insideX && Reach.IsInsideY(sourceY))
                        FillInside(from + sourceY * Gather.SourceRow + sourceX * Gather.SourcePixel, sources + i, height);
                    else
                        FillAtEdge(from, sourceY, sourceX, sources + i, height);
                    if (row == last)
                        continue;
                    row++;
                    if (++x < Gather.Width)
                        continue;
                    x = 0;
                    if (++y < Gather.Height)
                        continue;
                    y = 0;
                    image++;
                }
                inside[tile] = allInside;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void FillInside(float* origin, float** sources, int height)
        {
            for (int tap = 0; tap < Gather.Taps; tap++, sources += height)
                *sources = origin + Reach.Offset(tap);
        }

        private readonly void FillAtEdge(float* from, int y, int x, float** sources, int height)
        {
            for (int tap = 0; tap < Gather.Taps; tap++, sources += height)
            {
                int sourceY = y + Gather.TapY[tap], sourceX = x + Gather.TapX[tap];
                *sources = (uint)sourceX < (uint)Gather.SourceWidth && (uint)sourceY < (uint)Gather.SourceHeight
                    ? from + sourceY * Gather.SourceRow + sourceX * Gather.SourcePixel
                    : Zeros;
            }
        }
    }
}
