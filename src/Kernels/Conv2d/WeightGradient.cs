using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>The problem of <see cref="WeightGradient"/>, one group of a convolution. Strides are in floats.</summary>
internal unsafe struct WeightGradientProblem
{
    /// <summary>The image, of which tap t at output (n, p, q) reads pixel (n, p·StepY + TapY[t], q·StepX + TapX[t]).</summary>
    public float* Source;
    public int SourceHeight, SourceWidth;
    public nint SourceImage, SourceRow, SourcePixel;
    public int StepY, StepX, Taps;
    public int* TapY, TapX;

    /// <summary>Contiguous values a tap reads; column tap·Channels + c of the result belongs to value c.</summary>
    public int Channels;

    /// <summary>Whether a panel's width of floats may be read behind the last pixel.</summary>
    public bool Slack;

    public float* GradY;
    public nint GradPixel;
    public int Batch, Height, Width, OutChannels;

    /// <summary>Row k of the result begins at Target + k·Taps·Channels.</summary>
    public float* Target;
    public bool Accumulate;

    public readonly int Pixels => checked(Batch * Height * Width);

    public readonly int Columns => Taps * Channels;
}

/// <summary>
/// gradWeight[k, (tap, c)] (+)= Σ_pixels gradY[pixel, k] · x[pixel at tap, c] as a matrix product whose depth is the pixels.
/// Pixels go in chunks: of a chunk gradY is packed into tiles (pixel, Rows) that stay in the second-level cache, then for each panel
/// of columns the x values are packed as (pixel, Width), which stay in the first-level cache, and every tile is multiplied with it. Meanwhile
/// the x values of the next panel and gradY of the next chunk are fetched: both are read a few lines at a time, pixels apart.
/// Many pixels make few columns a poor supply of parallel work, so the pixels are cut into splits, each with a partial result;
/// partial results are added in order. The number of splits follows from the shape, never from the threads; columns are summed
/// independently, so how they are dealt to threads does not show.
/// </summary>
internal static unsafe class WeightGradient
{
    private const int MaxChunk = 256, MinChunk = 64, ChunkFloats = 48 * 1024, PixelsPerSplit = 2048, MaxSplits = 16, CombineTask = 4096;

    public static void Run<TVector>(CpuDevice device, in WeightGradientProblem problem, string owner) where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("implicit product");
        int rows = RegisterTile.Rows<TVector>(), width = RegisterTile.Width<TVector>();
        long floats = (long)problem.OutChannels * problem.Columns;
        if (floats == 0)
            return;
        if (problem.Pixels == 0)
        {
            if (!problem.Accumulate)
                new Span<float>(problem.Target, checked((int)floats)).Clear();
            return;
        }
        int threads = device.Team.Threads, pixels = problem.Pixels, panels = (problem.Columns + width - 1) / width;
        long operands = (long)pixels * (problem.OutChannels + problem.Channels);
        int splits = (int)Math.Clamp(Math.Min(pixels / PixelsPerSplit, operands / floats), 1, MaxSplits);
        int columnGroups = Math.Min(panels, splits % threads == 0 ? 1 : threads);
        int chunk = Math.Clamp(ChunkFloats / problem.OutChannels / 8 * 8, MinChunk, MaxChunk), tiles = (problem.OutChannels + rows - 1) / rows;

        using var partials = new Scratch(device, new Shape(splits - 1, checked((int)floats)), DType.F32, owner);
        int packedFloats = chunk * tiles * rows, panelFloats = (chunk + 1) * width;
        using var own = new WorkerScratch(device, (packedFloats + panelFloats) * sizeof(float) + (chunk + tiles * rows) * sizeof(float*), owner);
        device.Team.For(splits * columnGroups, new Body<TVector>
        {
            Problem = problem,
            Partials = partials.F32,
            Own = own.Memory,
            Splits = splits,
            ColumnGroups = columnGroups,
            Panels = panels,
            Chunk = chunk,
            Tiles = tiles,
        });
        if (splits > 1)
            device.Team.For((int)((floats + CombineTask - 1) / CombineTask),
                new CombineBody<TVector> { Target = problem.Target, Partials = partials.F32, Floats = floats, Count = splits - 1 });
    }

    /// <summary>What is read after the products at hand: pixels of x for the next panel, from their channel on, and pixels of gradY for the next chunk.</summary>
    private struct Ahead
    {
        public float** Pixel;
        public int Channel, Pixels, PixelsAtOnce;
        public float* Gradient;
        public int Gradients, GradientsAtOnce;
    }

    /// <summary>One split of the pixels and one group of panels a task.</summary>
    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public WeightGradientProblem Problem;
        public float* Partials;
        public WorkerMemory Own;
        public int Splits, ColumnGroups, Panels, Chunk, Tiles;

        private static int Rows => RegisterTile.Rows<TVector>();

        private static int Width => RegisterTile.Width<TVector>();

        [SkipLocalsInit]
        public readonly void Invoke(int start, int end, int worker)
        {
            float* packed = Own.Floats(worker);                                              // (tile, pixel, Rows)
            float* panel = packed + (nint)Chunk * Tiles * Rows;                              // (pixel, Width), and one row more
            var pixels = (float**)(panel + (nint)(Chunk + 1) * Width);                       // (pixel): where a tap reads
            float** targets = pixels + Chunk;                                                // (tile, row of the tile)
            new Span<float>(panel, (Chunk + 1) * Width).Clear();
            int count = Problem.Pixels;
            for (int task = start; task < end; task++)
            {
                int split = task / ColumnGroups, group = task % ColumnGroups;
                float* target = split == 0 ? Problem.Target : Partials + (nint)(split - 1) * Problem.OutChannels * Problem.Columns;
                for (int i = 0; i < Tiles * Rows; i++)
                    targets[i] = target + (nint)Math.Min(i, Problem.OutChannels - 1) * Problem.Columns;
                int first = (int)((long)count * split / Splits), last = (int)(count * (split + 1L) / Splits);
                for (int pixel = first; pixel < last; pixel += Chunk)
                {
                    int depth = Math.Min(Chunk, last - pixel);
                    PackGradient(pixel, depth, packed);
                    int tap = -1, firstPanel = Panels * group / ColumnGroups, lastPanel = Panels * (group + 1) / ColumnGroups;
                    int products = (lastPanel - firstPanel) * Tiles;
                    var ahead = new Ahead
                    {
                        PixelsAtOnce = (depth + Tiles - 1) / Tiles,
                        Gradient = Problem.GradY + (pixel + depth) * Problem.GradPixel,
                        Gradients = Math.Min(Chunk, last - pixel - depth),
                        GradientsAtOnce = (Chunk + products - 1) / products,
                    };
                    for (int p = firstPanel; p < lastPanel; p++)
                    {
                        PackSource(pixel, depth, p * Width, panel, pixels, ref tap);
                        int next = p * Width % Problem.Channels + Width;
                        ahead.Pixel = pixels;
                        ahead.Channel = next;
                        ahead.Pixels = p + 1 < lastPanel && next < Problem.Channels ? depth : 0; // of another tap they are elsewhere
                        Multiply(depth, p * Width, pixel > first || split == 0 && Problem.Accumulate, packed, panel, targets, ref ahead);
                    }
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        [SkipLocalsInit]
        private readonly void Multiply(int depth, int column, bool accumulate, float* packed, float* panel, float** targets, ref Ahead ahead)
        {
            float** rows = stackalloc float*[Rows];
            for (int i = 0; i < Rows; i++)
                rows[i] = packed + i;
            var work = new TileWork
            {
                Taps = 1,
                Depth = depth,
                Step = Rows,
                Column = column,
                Columns = Math.Min(Width, Problem.Columns - column),
                Accumulate = accumulate,
                Factor = 1,
            };
            for (int tile = 0; tile < Tiles; tile++, targets += Rows, work.Shift += (nint)depth * Rows)
            {
                Fetch(ref ahead);
                RegisterTile.Multiply<TVector>(work, rows, panel, targets);
            }
        }

        /// <summary>The part of what comes next that is fetched beside one tile.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Fetch(ref Ahead ahead)
        {
            int pixels = Math.Min(ahead.Pixels, ahead.PixelsAtOnce), gradients = Math.Min(ahead.Gradients, ahead.GradientsAtOnce);
            ahead.Pixels -= pixels;
            for (; pixels > 0; pixels--, ahead.Pixel++)
                for (int value = 0; value < Width; value += CacheLine.Floats)
                    CacheLine.FetchNear(*ahead.Pixel + ahead.Channel + value);
            ahead.Gradients -= gradients;
            for (; gradients > 0; gradients--, ahead.Gradient += Problem.GradPixel)
                for (int channel = 0; channel < Problem.OutChannels; channel += CacheLine.Floats)
                    CacheLine.FetchMiddle(ahead.Gradient + channel);
        }

        /// <summary>gradY of a chunk as tiles of Rows channels; channels behind the last one repeat it, as the tile's rows do.</summary>
        [MethodImpl(HotLoop.Options)]
        private readonly void PackGradient(int pixel, int depth, float* to)
        {
            int channels = Problem.OutChannels;
            for (int channel = 0; channel < channels; channel += Rows)
            {
                float* from = Problem.GradY + pixel * Problem.GradPixel + channel;
                if (channel + Rows > channels)
                    for (int p = 0; p < depth; p++, from += Problem.GradPixel)
                        for (int i = 0; i < Rows; i++)
                            *to++ = from[Math.Min(i, channels - channel - 1)];
                else if (Rows == 6)
                    for (int p = 0; p < depth; p++, from += Problem.GradPixel, to += 6)
                        Unsafe.CopyBlockUnaligned(to, from, 6 * sizeof(float));
                else
                    for (int p = 0; p < depth; p++, from += Problem.GradPixel, to += 12)
                        Unsafe.CopyBlockUnaligned(to, from, 12 * sizeof(float));
            }
        }

        /// <summary>
        /// The panel of columns [column, column + Width) of a chunk. It may reach over several taps; <paramref name="tap"/> is the one
        /// whose pixel pointers are in the table. Columns behind the last one keep what they held.
        /// </summary>
        [MethodImpl(HotLoop.Options)]
        private readonly void PackSource(int pixel, int depth, int column, float* panel, float** pixels, ref int tap)
        {
            int lanes = TVector.Count, width = Width;
            for (int at = 0; at < width && column + at < Problem.Columns;)
            {
                int wanted = (column + at) / Problem.Channels, channel = (column + at) % Problem.Channels;
                int length = Math.Min(width - at, Problem.Channels - channel);
                if (wanted != tap)
                    Locate(pixel, depth, wanted, pixels);
                tap = wanted;
                float* to = panel + at;
                if (length == width)
                    for (int p = 0; p < depth; p++, to += width)
                        Copy(pixels[p] == null ? null : pixels[p] + channel, to);
                else if (Problem.Slack)
                    for (int p = 0; p < depth; p++, to += width)
                    {
                        // A full width is copied; what it overwrites in the next pixel's row, written for an earlier tap, is put back.
                        float* next = to + width - at;
                        TVector low = TVector.Load(next), high = TVector.Load(next + lanes);
                        Copy(pixels[p] == null ? null : pixels[p] + channel, to);
                        TVector.Store(low, next);
                        TVector.Store(high, next + lanes);
                    }
                else
                    for (int p = 0; p < depth; p++, to += width)
                        for (int i = 0; i < length; i++)
                            to[i] = pixels[p] == null ? 0 : pixels[p][channel + i];
                at += length;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Copy(float* from, float* to)
        {
            TVector.Store(from == null ? TVector.Zero : TVector.Load(from), to);
            TVector.Store(from == null ? TVector.Zero : TVector.Load(from + TVector.Count), to + TVector.Count);
        }

        /// <summary>Where each pixel of a chunk reads for a tap; null on padding.</summary>
        [MethodImpl(HotLoop.Options)]
        private readonly void Locate(int pixel, int depth, int tap, float** pixels)
        {
            int q = pixel % Problem.Width, rest = pixel / Problem.Width, p = rest % Problem.Height, image = rest / Problem.Height;
            int tapX = Problem.TapX[tap], tapY = Problem.TapY[tap];
            for (int i = 0; i < depth;)
            {
                int y = p * Problem.StepY + tapY, row = Math.Min(depth - i, Problem.Width - q);
                bool insideY = (uint)y < (uint)Problem.SourceHeight;
                float* line = Problem.Source + image * Problem.SourceImage + y * Problem.SourceRow;
                for (int x = q * Problem.StepX + tapX; row > 0; row--, x += Problem.StepX)
                    pixels[i++] = insideY && (uint)x < (uint)Problem.SourceWidth ? line + x * Problem.SourcePixel : null;
                q = 0;
                if (++p == Problem.Height)
                {
                    p = 0;
                    image++;
                }
            }
        }
    }

    /// <summary>target += partial results, in order; <see cref="CombineTask"/> elements a task.</summary>
    private struct CombineBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Target, Partials;
        public long Floats;
        public int Count;

        [MethodImpl(HotLoop.Options)]
        public readonly void Invoke(int start, int end, int worker)
        {
            long i = (long)start * CombineTask, stop = Math.Min(Floats, (long)end * CombineTask);
            for (; i + TVector.Count <= stop; i += TVector.Count)
            {
                var sum = TVector.Load(Target + i);
                for (int part = 0; part < Count; part++)
                    sum += TVector.Load(Partials + part * Floats + i);
                TVector.Store(sum, Target + i);
            }
            for (; i < stop; i++)
                for (int part = 0; part < Count; part++)
                    Target[i] += Partials[part * Floats + i];
        }
    }
}
