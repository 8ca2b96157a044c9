using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// gradWeight (K,3,3,C) (+)= the gradient of <see cref="Winograd"/> in its kernels: with Z = A gradY Aᵀ and V = Bᵀ x B of each tile,
///   Gᵀ [ Σ_tiles Z ⊙ V ] G:
/// at each of 36 points a product (out, tile) x (tile, in). Tiles go in chunks that stay in the last-level cache; sums over chunks are added in
/// order. Where one chunk is all, the sums of a task are mapped back while they are fresh and never leave its scratch.
/// </summary>
internal static unsafe class WinogradWeightGradient
{
    private const int Depth = 256, MaxRows = 12;

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
        int chunk = Winograd.Chunk(tiles, inChannels + outChannels), panels = (inChannels + width - 1) / width;
        WinogradTiles sources = WinogradTiles.Panels(chunk, inChannels, width), gradients = WinogradTiles.Panels(chunk, outChannels, width);
        int rows = RegisterTile.Rows<TVector>(), rowTiles = (outChannels + rows - 1) / rows;
        int rowGroups = Math.Clamp((threads + panels - 1) / panels, 1, rowTiles), tasks = panels * rowGroups;
        int sumPoint = (rowTiles + rowGroups - 1) / rowGroups * rows * width + WinogradTiles.LineFloats, sumFloats = checked(WinogradMaps.Points * sumPoint);

        using var domain = new Scratch(device, new Shape(checked(sources.Floats + gradients.Floats)), DType.F32, owner);
        using var sums = new Scratch(device, new Shape(chunk == tiles ? threads : tasks, sumFloats), DType.F32, owner);
        using var zeros = new Scratch(device, new Shape(Math.Max(inChannels, outChannels)), DType.F32, owner);
        new Span<float>(zeros.F32, Math.Max(inChannels, outChannels)).Clear();
        if (inChannels % width != 0)
            new Span<float>(domain.F32, sources.Floats).Clear(); // columns behind the last channel are computed with
        var body = new Body
        {
            X = x,
            GradY = gradY,
            PadY = padY,
            PadX = padX,
            Sources = sources,
            Gradients = gradients,
            SourceDomain = domain.F32,
            GradientDomain = domain.F32 + sources.Floats,
            Zeros = zeros.F32,
            Sums = sums.F32,
            SumFloats = sumFloats,
            SumPoint = sumPoint,
            RowTiles = rowTiles,
            RowGroups = rowGroups,
            OneChunk = chunk == tiles,
            GradWeight = gradWeight,
            Accumulate = accumulate,
        };
        for (long first = 0; first < tiles; first += chunk)
        {
            body.First = first;
            body.Tiles = (int)Math.Min(chunk, tiles - first);
            body.IsLast = first + chunk >= tiles;
            device.Team.For(body.Tiles, new MapBody<TVector> { Shared = body });
            device.Team.For(tasks, new ProductBody<TVector> { Shared = body });
        }
    }

    private struct Body
    {
        public WinogradImage X, GradY;
        public int PadY, PadX;
        public WinogradTiles Sources, Gradients;
        public float* SourceDomain, GradientDomain, Zeros, Sums, GradWeight;
        public int SumFloats, SumPoint, RowTiles, RowGroups, Tiles;
        public long First;
        public bool OneChunk, IsLast, Accumulate;
    }

    /// <summary>One tile of both images a task.</summary>
    private struct MapBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (int tile = start; tile < end; tile++)
            {
                var (image, y, x) = Winograd.Place(Shared.First + tile, Shared.GradY.Height, Shared.GradY.Width);
                Shared.Sources.Forward<WinogradMaps.Image, TVector>(Shared.X, image, y - Shared.PadY, x - Shared.PadX, tile, Shared.SourceDomain, Shared.Zeros);
                Shared.Gradients.Forward<WinogradMaps.SumGradient, TVector>(Shared.GradY, image, y, x, tile, Shared.GradientDomain, Shared.Zeros);
            }
        }
    }

    /// <summary>A panel of input channels times a group of tiles of output channels a task.</summary>
    private struct ProductBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Body Shared;

        public readonly void Invoke(int start, int end, int worker)
        {
            int rows = RegisterTile.Rows<TVector>(), width = RegisterTile.Width<TVector>(), outChannels = Shared.GradY.Channels;
            for (int task = start; task < end; task++)
            {
                int panel = task / Shared.RowGroups, group = task % Shared.RowGroups;
                int firstTile = group * Shared.RowTiles / Shared.RowGroups, lastTile = (group + 1) * Shared.RowTiles / Shared.RowGroups;
                int first = firstTile * rows, last = Math.Min(outChannels, lastTile * rows);
                float* sums = Shared.Sums + (nint)(Shared.OneChunk ? worker : task) * Shared.SumFloats;
                for (int point = 0; point < WinogradMaps.Points; point++)
                    Multiply(Shared.SourceDomain + point * Shared.Sources.Point + Shared.Sources.At(0, panel * width),
                        Shared.GradientDomain + point * Shared.Gradients.Point, first, last, sums + (nint)point * Shared.SumPoint);
                if (!Shared.IsLast)
                    continue;
                int channel = panel * width, channels = Math.Min(width, Shared.X.Channels - channel), whole = channels / TVector.Count * TVector.Count;
                for (int row = first; row < last; row++)
                {
                    float* from = sums + (nint)(row - first) * width;
                    float* to = Shared.GradWeight + (nint)row * WinogradMaps.Kernel * WinogradMaps.Kernel * Shared.X.Channels + channel;
                    Write<TVector>(from, to, 0, whole);
                    Write<F32x1>(from, to, whole, channels);
                }
            }
        }

        /// <summary>sums[row, width] (+)= Σ_tiles gradients[tile, row] · sources[tile, width] at one point.</summary>
        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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
                        to[i] = sums + (nint)(existing - first) * width;
                    }
                    RegisterTile.Multiply<TVector>(work, from, sources + (nint)start * width, to);
                }
            }
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Write<T>(float* sums, float* weight, int first, int last) where T : unmanaged, ISimd<T>
        {
            const int taps = WinogradMaps.Kernel * WinogradMaps.Kernel;
            T* from = stackalloc T[WinogradMaps.Points];
            T* to = stackalloc T[taps];
            for (int at = first; at < last; at += T.Count)
            {
                for (int point = 0; point < WinogradMaps.Points; point++)
                    from[point] = T.Load(sums + (nint)point * Shared.SumPoint + at);
                WinogradMaps.Square<WinogradMaps.FilterGradient, T>(from, to);
                for (int tap = 0; tap < taps; tap++)
                {
                    float* target = weight + (nint)tap * Shared.X.Channels + at;
                    T.Store(Shared.Accumulate ? to[tap] + T.Load(target) : to[tap], target);
                }
            }
        }
    }
}
