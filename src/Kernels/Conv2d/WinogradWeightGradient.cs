using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// gradWeight (K,3,3,C) (+)= the gradient of <see cref="Winograd"/> in its kernels: with Z = A gradY Aᵀ and V = Bᵀ x B of each tile,
///   Gᵀ [ Σ_tiles Z ⊙ V ] G:
/// at each of 36 points a product (out, tile) x (tile, in). Tiles go in chunks; the Z of a chunk are mapped for all, the V of one or two panels of input
/// channels by the task that needs them, or for all where there are fewer such panels than threads; both stay in the caches together with what other cores
/// need. Sums over chunks are added in order. Where one chunk is all, the sums of a task are mapped back while they are fresh and never leave its scratch.
/// </summary>
internal static unsafe class WinogradWeightGradient
{
    private const int Depth = 256, MaxRows = 12, PanelsPerTask = 2, RowsPerTask = 128;

    /// <param name="device">The device.</param>
    /// <param name="batch">Images.</param>
    /// <param name="x">The input.</param>
    /// <param name="gradY">The gradient of the output.</param>
    /// <param name="padY">Rows of zeros around x.</param>
    /// <param name="padX">Columns of zeros around x.</param>
    /// <param name="gradWeight">(K,3,3,C).</param>
    /// <param name="accumulate">Adds to what gradWeight holds.</param>
    /// <param name="owner">Who rents the scratch memory.</param>
    public static void Run<TVector>(CpuDevice device, int batch, WinogradImage x, WinogradImage gradY, int padY, int padX, float* gradWeight, bool accumulate, string owner)
        where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("minimal filtering");
        int inChannels = x.Channels, outChannels = gradY.Channels, threads = device.Team.Threads, width = RegisterTile.Width<TVector>();
        long tiles = Winograd.Tiles(batch, gradY.Height, gradY.Width);
        int panels = (inChannels + width - 1) / width, chunk = Winograd.Chunk(tiles, outChannels + Math.Min(PanelsPerTask, panels) * width);
        int columns = Math.Min(PanelsPerTask, (panels + threads - 1) / threads) * width, panelGroups = (inChannels + columns - 1) / columns;
        bool forAll = panelGroups < threads, oneChunk = chunk == tiles;
        WinogradTiles sources = WinogradTiles.Panels(chunk, forAll ? inChannels : columns, width), gradients = WinogradTiles.Panels(chunk, outChannels, width);
        int rows = RegisterTile.Rows<TVector>(), rowTiles = (outChannels + rows - 1) / rows;
        int rowGroups = Math.Min(rowTiles, Math.Max((outChannels + RowsPerTask - 1) / RowsPerTask, (threads + panelGroups - 1) / panelGroups));
        int rowTilesPerTask = (rowTiles + rowGroups - 1) / rowGroups;
        rowGroups = (rowTiles + rowTilesPerTask - 1) / rowTilesPerTask; // none is empty
        int tasks = panelGroups * rowGroups;
        int sumPoint = rowTilesPerTask * rows * columns + CacheLine.Floats, sumFloats = checked(WinogradMaps.Points * sumPoint);

        using var domain = new Scratch(device, new Shape(gradients.Floats), DType.F32, owner);
        using var own = new WorkerScratch(device, ((forAll ? 0L : sources.Floats) + (oneChunk ? sumFloats : 0)) * sizeof(float), owner);
        using var sourceDomain = new Scratch(device, new Shape(forAll ? sources.Floats : 0), DType.F32, owner);
        using var sums = new Scratch(device, new Shape(oneChunk ? 0 : tasks, sumFloats), DType.F32, owner);
        using var zeros = new Scratch(device, new Shape(Math.Max(inChannels, outChannels)), DType.F32, owner);
        new Span<float>(zeros.F32, Math.Max(inChannels, outChannels)).Clear();
        var body = new Body
        {
            X = x,
            GradY = gradY,
            PadY = padY,
            PadX = padX,
            Sources = sources,
            Gradients = gradients,
            Own = own.Memory,
            SourceDomain = sourceDomain.F32,
            SourcesForAll = forAll,
            GradientDomain = domain.F32,
            Zeros = zeros.F32,
            Sums = sums.F32,
            SumFloats = sumFloats,
            SumPoint = sumPoint,
            Columns = columns,
            Rows = rowTilesPerTask * rows,
            RowGroups = rowGroups,
            OneChunk = oneChunk,
            GradWeight = gradWeight,
            Accumulate = accumulate,
        };
        if (inChannels % width != 0) // columns behind the last channel are computed with
            for (int worker = 0; worker < (forAll ? 1 : threads); worker++)
                new Span<float>(body.SourcesOf(worker), sources.Floats).Clear();
        for (long first = 0; first < tiles; first += chunk)
        {
            body.First = first;
            body.Tiles = (int)Math.Min(chunk, tiles - first);
            body.IsLast = first + chunk >= tiles;
            device.Team.For(body.Tiles, new TileBody<TVector> { Shared = body });
            device.Team.For(tasks, new ProductBody<TVector> { Shared = body });
        }
    }

    private struct Body
    {
        public WinogradImage X, GradY;
        public int PadY, PadX;
        public WinogradTiles Sources, Gradients;
        public float* SourceDomain, GradientDomain, Zeros, Sums, GradWeight;
        public WorkerMemory Own;
        public int SumFloats, SumPoint, Columns, Rows, RowGroups, Tiles;
        public long First;
        public bool SourcesForAll, OneChunk, IsLast, Accumulate;

        /// <summary>Those of all, or a worker's own.</summary>
        public readonly float* SourcesOf(int worker) => SourcesForAll ? SourceDomain : Own.Floats(worker);

        /// <summary>Those of a task until the last chunk; where there is but one, behind a worker's own sources.</summary>
        public readonly float* SumsOf(int task, int worker) =>
            OneChunk ? Own.Floats(worker) + (SourcesForAll ? 0 : Sources.Floats) : Sums + (nint)task * SumFloats;

        /// <summary>Of a tile of this chunk.</summary>
        public readonly (int Image, int Y, int X) Place(int tile) => Winograd.Place(First + tile, GradY.Height, GradY.Width);

        /// <summary>Some channels of the input of a tile.</summary>
        public readonly void MapSource<TVector>(int tile, int channel, int channels, float* sources) where TVector : unmanaged, ISimd<TVector>
        {
            var (image, y, x) = Place(tile);
            Sources.Forward<WinogradMaps.Image, TVector>(X, image, y - PadY, x - PadX, channel, channels, tile, sources, Zeros);
        }
    }

    /// <summary>One tile of the gradient a task, and of the input where that is mapped for all.</summary>
    private struct TileBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int tile = start; tile < end; tile++)
            {
                var (image, y, x) = Shared.Place(tile);
                Shared.Gradients.Forward<WinogradMaps.SumGradient, TVector>(Shared.GradY, image, y, x, 0, Shared.GradY.Channels, tile, Shared.GradientDomain, Shared.Zeros);
                if (Shared.SourcesForAll)
                    Shared.MapSource<TVector>(tile, 0, Shared.X.Channels, Shared.SourceDomain);
            }
        }
    }

    /// <summary>Some panels of input channels times a group of output channels a task.</summary>
    private struct ProductBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            int width = RegisterTile.Width<TVector>(), outChannels = Shared.GradY.Channels, mapped = -1;
            float* sources = Shared.SourcesOf(worker);
            for (int task = start; task < end; task++)
            {
                int group = task / Shared.RowGroups, first = task % Shared.RowGroups * Shared.Rows, last = Math.Min(outChannels, first + Shared.Rows);
                int channel = group * Shared.Columns, channels = Math.Min(Shared.Columns, Shared.X.Channels - channel);
                if (!Shared.SourcesForAll && mapped != group)
                    for (int tile = 0; tile < Shared.Tiles; tile++)
                        Shared.MapSource<TVector>(tile, channel, channels, sources);
                mapped = group;
                int column = Shared.SourcesForAll ? channel : 0;
                float* sums = Shared.SumsOf(task, worker);
                for (int point = 0; point < WinogradMaps.Points; point++)
                    for (int panel = 0; panel < channels; panel += width)
                        Multiply(sources + point * Shared.Sources.Point + Shared.Sources.At(0, column + panel), Shared.GradientDomain + point * Shared.Gradients.Point,
                            first, last, sums + (nint)point * Shared.SumPoint + panel);
                if (!Shared.IsLast)
                    continue;
                int whole = channels / TVector.Count * TVector.Count;
                for (int row = first; row < last; row++)
                {
                    float* from = sums + (nint)(row - first) * Shared.Columns;
                    float* to = Shared.GradWeight + (nint)row * WinogradMaps.Kernel * WinogradMaps.Kernel * Shared.X.Channels + channel;
                    Write<TVector>(from, to, 0, whole);
                    Write<F32x1>(from, to, whole, channels);
                }
            }
        }

        /// <summary>sums[row, width] (+)= Σ_tiles gradients[tile, row] · sources[tile, width] at one point, in one panel.</summary>
        [SkipLocalsInit]
        [MethodImpl(HotLoop.Options)]
        private readonly void Multiply(float* sources, float* gradients, int first, int last, float* sums)
        {
            int rows = RegisterTile.Rows<TVector>(), width = RegisterTile.Width<TVector>();
            float** from = stackalloc float*[MaxRows];
            float** to = stackalloc float*[MaxRows];
            for (int start = 0; start < Shared.Tiles; start += Depth)
            {
                var work = new TileWork
                {
                    Taps = 1,
                    Depth = Math.Min(Depth, Shared.Tiles - start),
                    Step = width,
                    Shift = (nint)start * width,
                    Columns = width,
                    Accumulate = start > 0 || Shared.First > 0,
                    Factor = 1,
                };
                for (int row = first; row < last; row += rows)
                {
                    for (int i = 0; i < rows; i++)
                    {
                        int existing = Math.Min(row + i, last - 1);
                        from[i] = gradients + Shared.Gradients.At(0, existing);
                        to[i] = sums + (nint)(existing - first) * Shared.Columns;
                    }
                    RegisterTile.Multiply<TVector>(work, from, sources + (nint)start * width, to);
                }
            }
        }

        [SkipLocalsInit]
        [MethodImpl(HotLoop.Options)]
        private readonly void Write<T>(float* sums, float* weight, int first, int last) where T : unmanaged, ISimd<T>
        {
            const int taps = WinogradMaps.Kernel * WinogradMaps.Kernel;
            T* from = stackalloc T[WinogradMaps.Points];
            T* to = stackalloc T[taps];
            for (int at = first; at < last; at += T.Count)
            {
                for (int point = 0; point < WinogradMaps.Points; point++)
                    from[point] = T.Load(sums + (nint)point * Shared.SumPoint + at);
                WinogradMaps.Square<WinogradMaps.FilterGradient, T>(from, to, 1);
                for (int tap = 0; tap < taps; tap++)
                {
                    float* target = weight + (nint)tap * Shared.X.Channels + at;
                    T.Store(Shared.Accumulate ? to[tap] + T.Load(target) : to[tap], target);
                }
            }
        }
    }
}
