using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// The problem of <see cref="Winograd"/>: target = act(bias + source * (scale·kernel) (+ addend)), a 3x3 convolution of stride 1. Element (tap, in, out)
/// of the kernel lies at Weight[tap·WeightTap + in·WeightIn + out·WeightOut]; turned by 180 degrees where <see cref="Turned"/>.
/// </summary>
internal unsafe struct WinogradProblem
{
    public int Batch, PadY, PadX;
    public WinogradImage Source, Target;
    public float* Weight;
    public nint WeightTap, WeightIn, WeightOut;
    public bool Turned;

    /// <summary>A factor of each output channel's kernels, null for none.</summary>
    public float* Scale;

    /// <summary>Null for none.</summary>
    public float* Bias;

    /// <summary><see cref="Activation.Factor"/>.</summary>
    public float Factor;

    /// <summary>Adds to what the target holds, or what lies <see cref="Addend"/> floats behind it.</summary>
    public bool Accumulate;

    public nint Addend;
}

/// <summary>
/// 3x3 convolution of stride 1 by F(4x4, 3x3) (<see cref="WinogradMaps"/>): at each of 36 points a product (tile, in) x (in, out), a quarter of the direct
/// multiplications. Tiles go in chunks. Their sources are mapped for all; then a thread maps the kernels of some panels of output channels, unless it has just done so, and takes a few tiles
/// at a time through product and map back, so that sums never leave the second-level cache. Tasks are small, so that nobody waits long for the slowest; those taken together are one product. All that a chunk needs is a few MB: what other cores, or ranks
/// on them, need beside it has room in the last-level cache too. Where no task follows with the same kernels, they are mapped for a part of the input channels at a time, and
/// stay in the second-level cache as well. An element is summed over input channels in one order, so how work is dealt does not show in the result.
/// </summary>
internal static unsafe class Winograd
{
    private const int DomainFloats = 3 << 18, KernelFloats = 3 << 17, NearKernelFloats = 3 << 15, SumFloats = 3 << 15, LeastChannels = 16;

    /// <summary>Input channels whose kernels are packed at a time: kernels of different outputs lie pages apart, and each is read as a run of so many floats.</summary>
    private const int PackedRows = 64;

    /// <summary>Tiles, of a task and of a chunk, that pay for mapping kernels once more, which takes as long as the products of about five.</summary>
    private const int LeastOfTask = 24, LeastOfChunk = 128;

    /// <summary>Whether this takes enough fewer multiplications than the direct sum to pay for its maps.</summary>
    public static bool Pays(in Conv2dShapes z) =>
        Fits(z.Window) && z.Groups == 1 && Math.Min(z.InChannels, z.OutChannels) >= LeastChannels && Tiles(z.Batch, z.OutHeight, z.OutWidth) >= 4
        && 3L * WinogradMaps.Points * Tiles(z.Batch, z.OutHeight, z.OutWidth) <= 2L * 9 * z.Outputs;

    private static bool Fits(Window w) => w is { KernelHeight: 3, KernelWidth: 3, StrideY: 1, StrideX: 1, DilationY: 1, DilationX: 1, PadY: <= 2, PadX: <= 2 };

    public static long Tiles(int batch, int height, int width) => (long)batch * Across(height) * Across(width);

    /// <summary>Image and upper left output pixel of a tile.</summary>
    public static (int Image, int Y, int X) Place(long tile, int height, int width)
    {
        int across = Across(width), down = Across(height);
        long line = tile / across;
        return ((int)(line / down), (int)(line % down) * WinogradMaps.Output, (int)(tile % across) * WinogradMaps.Output);
    }

    private static int Across(int pixels) => (pixels + WinogradMaps.Output - 1) / WinogradMaps.Output;

    /// <summary>Tiles of a chunk that takes so many floats a tile at each point.</summary>
    public static int Chunk(long tiles, int channels)
    {
        long most = Math.Max(LeastOfChunk, DomainFloats / WinogradMaps.Points / Math.Max(1, channels)), chunks = Math.Max(1, (tiles + most - 1) / most);
        return checked((int)((tiles + chunks - 1) / chunks));
    }

    public static void Run<TVector>(CpuDevice device, in WinogradProblem problem, string owner) where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("minimal filtering");
        int inChannels = problem.Source.Channels, outChannels = problem.Target.Channels, threads = device.Team.Threads, width = RegisterTile.Width<TVector>();
        long tiles = Tiles(problem.Batch, problem.Target.Height, problem.Target.Width);
        int chunk = Chunk(tiles, inChannels);
        int panels = (outChannels + width - 1) / width, panelFloats = WinogradMaps.Points * inChannels * width;
        int mostPanels = Math.Min(Math.Max(2, KernelFloats / Math.Max(1, panelFloats)), (panels * Math.Max(1, chunk / LeastOfChunk) + threads - 1) / threads);
        int panelGroups = (panels + mostPanels - 1) / mostPanels, columns = (panels + panelGroups - 1) / panelGroups * width;
        int tileGroups = Math.Clamp((threads + panelGroups - 1) / panelGroups, 1, Math.Max(1, chunk / LeastOfTask));
        int rows = RegisterTile.Rows<TVector>(), most = Math.Max(LeastOfTask, SumFloats / WinogradMaps.Points / columns / rows * rows), depth = inChannels;
        int tilesOfTask = (chunk + tileGroups * rows - 1) / (tileGroups * rows) * rows, tilesAtOnce = tilesOfTask;
        if (tilesOfTask > most)
            (tilesOfTask, tilesAtOnce) = (rows, most);
        else
            depth = Math.Min(inChannels, Math.Max(1, NearKernelFloats / WinogradMaps.Points / columns / PackedRows) * PackedRows);
        WinogradTiles sources = WinogradTiles.Rows(chunk, inChannels), sums = WinogradTiles.Rows(tilesAtOnce, columns);

        int kernelPoint = checked(columns * depth + CacheLine.Floats), kernelFloats = checked(WinogradMaps.Points * kernelPoint);
        using var domain = new Scratch(device, new Shape(sources.Floats), DType.F32, owner);
        using var own = new WorkerScratch(device, ((long)CacheLine.Floats + kernelFloats + sums.Floats) * sizeof(float), owner);
        using var zeros = new Scratch(device, new Shape(inChannels), DType.F32, owner);
        new Span<float>(zeros.F32, inChannels).Clear();
        var body = new Body
        {
            Problem = problem,
            Sources = sources,
            Sums = sums,
            SourceDomain = domain.F32,
            Own = own.Memory,
            KernelPoint = kernelPoint,
            Zeros = zeros.F32,
            Columns = columns,
            Depth = depth,
            TilesOfTask = tilesOfTask,
            TilesAtOnce = tilesAtOnce,
        };
        for (int worker = 0; worker < threads; worker++)
            *body.Mapped(worker) = -1;
        for (long first = 0; first < tiles; first += chunk)
        {
            body.First = first;
            body.Tiles = (int)Math.Min(chunk, tiles - first);
            device.Team.For(body.Tiles, new SourceBody<TVector> { Shared = body });
            device.Team.For(panelGroups * body.TileGroups, new ProductBody<TVector> { Shared = body }, tilesAtOnce == tilesOfTask ? 1 : LeastOfTask / rows);
        }
    }

    private struct Body
    {
        public WinogradProblem Problem;
        public WinogradTiles Sources, Sums;
        public float* SourceDomain, Zeros;
        public WorkerMemory Own;
        public int KernelPoint, Columns, Depth, Tiles, TilesOfTask, TilesAtOnce;
        public long First;

        public readonly int TileGroups => (Tiles + TilesOfTask - 1) / TilesOfTask;

        /// <summary>Which kernels a worker has mapped: their group times all input channels plus their first one, -1 for none.</summary>
        public readonly int* Mapped(int worker) => (int*)Own.Bytes(worker);

        public readonly float* Kernels(int worker) => Own.Floats(worker) + CacheLine.Floats;

        public readonly float* SumDomain(int worker) => Kernels(worker) + WinogradMaps.Points * KernelPoint;

        /// <summary>Of a tile of this chunk.</summary>
        public readonly (int Image, int Y, int X) Place(int tile) => Winograd.Place(First + tile, Problem.Target.Height, Problem.Target.Width);
    }

    /// <summary>One tile of sources a task.</summary>
    private struct SourceBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int tile = start; tile < end; tile++)
            {
                var (image, y, x) = Shared.Place(tile);
                Shared.Sources.Forward<WinogradMaps.Image, TVector>(Shared.Problem.Source, image, y - Shared.Problem.PadY, x - Shared.Problem.PadX, 0,
                    Shared.Problem.Source.Channels, tile, Shared.SourceDomain, Shared.Zeros);
            }
        }
    }

    /// <summary>Some panels of output channels times a group of tiles a task; neighbours that are taken together go at once, as many as the sums have room for.</summary>
    private struct ProductBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            int outChannels = Shared.Problem.Target.Channels, inChannels = Shared.Problem.Source.Channels;
            float* kernels = Shared.Kernels(worker), sums = Shared.SumDomain(worker);
            int* mapped = Shared.Mapped(worker);
            int tileGroups = Shared.TileGroups, tasksAtOnce = Shared.TilesAtOnce / Shared.TilesOfTask;
            for (int task = start, tasks; task < end; task += tasks)
            {
                int group = task / tileGroups, tileGroup = task - group * tileGroups, first = tileGroup * Shared.TilesOfTask;
                tasks = Math.Min(Math.Min(end - task, tileGroups - tileGroup), tasksAtOnce);
                int tiles = Math.Min(tasks * Shared.TilesOfTask, Shared.Tiles - first);
                int column = group * Shared.Columns, columns = Math.Min(Shared.Columns, outChannels - column);
                for (int channel = 0; channel < inChannels; channel += Shared.Depth)
                {
                    int depth = Math.Min(Shared.Depth, inChannels - channel), wanted = group * inChannels + channel;
                    if (*mapped != wanted)
                        MapKernels(column, columns, channel, depth, kernels);
                    *mapped = wanted;
                    Multiply(first, tiles, columns, channel, depth, kernels, sums);
                }
                Write(first, tiles, column, columns, sums);
            }
        }

        /// <summary>sums[tile, out] (+)= the products of some input channels, at each point.</summary>
        private readonly void Multiply(int first, int tiles, int columns, int channel, int depth, float* kernels, float* sums)
        {
            int inChannels = Shared.Problem.Source.Channels, whole = GemmBlock.WholePanels<TVector>(columns);
            for (int point = 0; point < WinogradMaps.Points; point++)
                GemmBlock.Multiply<TVector>(tiles, whole, depth, Shared.SourceDomain + point * Shared.Sources.Point + (nint)first * inChannels + channel, inChannels,
                    kernels + (nint)point * Shared.KernelPoint, sums + point * Shared.Sums.Point, Shared.Columns, accumulate: channel > 0);
        }

        /// <summary>Some channels of the outputs of some tiles.</summary>
        private readonly void Write(int first, int tiles, int column, int columns, float* sums)
        {
            for (int tile = 0; tile < tiles; tile++)
            {
                var (image, y, x) = Shared.Place(first + tile);
                Shared.Sums.Outputs<TVector>(Shared.Problem, image, y, x, tile, column, columns, sums);
            }
        }

        /// <summary>Kernels from some input to some output channels, at each point packed for <see cref="GemmBlock"/>.</summary>
        [SkipLocalsInit]
        [MethodImpl(HotLoop.Options)]
        private readonly void MapKernels(int column, int columns, int firstChannel, int channels, float* kernels)
        {
            const int taps = WinogradMaps.Kernel * WinogradMaps.Kernel, widest = 32;
            int width = RegisterTile.Width<TVector>(), lanes = TVector.Count, point = Shared.KernelPoint / lanes;
            float* rows = stackalloc float[taps * PackedRows * widest];                   // (tap, input channel, output channel)
            TVector* from = stackalloc TVector[taps];
            for (int channel = 0; channel < channels; channel += PackedRows)
            {
                int depth = Math.Min(PackedRows, channels - channel);
                for (int panel = 0; panel < columns; panel += width)
                {
                    for (int tap = 0; tap < taps; tap++)
                        Panel.Pack<TVector>(Shared.Problem.Weight + (Shared.Problem.Turned ? taps - 1 - tap : tap) * Shared.Problem.WeightTap
                            + (firstChannel + channel) * Shared.Problem.WeightIn + (column + panel) * Shared.Problem.WeightOut, depth, Shared.Problem.WeightIn,
                            Math.Min(width, columns - panel), Shared.Problem.WeightOut, rows + tap * PackedRows * width);
                    if (Shared.Problem.Scale != null)
                        Panel.Scale<TVector>(rows, taps * PackedRows, Shared.Problem.Scale + column + panel, Math.Min(width, columns - panel));
                    float* target = kernels + GemmBlock.PackedRow<TVector>(columns, channels, channel, panel);
                    for (int at = 0; at < depth * width; at += lanes)
                    {
                        for (int tap = 0; tap < taps; tap++)
                            from[tap] = TVector.Load(rows + tap * PackedRows * width + at);
                        WinogradMaps.Square<WinogradMaps.Filter, TVector>(from, (TVector*)(target + at), point);
                    }
                }
            }
        }
    }
}
