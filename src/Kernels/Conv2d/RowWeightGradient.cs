using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// gradWeight[k, r, (s,c)] (+)= Σ_{n,p,q} gradY[n,p,q,k] · x[n, p·stride − pad + r·dilation, (q·stride·C) + (s,c)] for few channels C, such as a stem's: a matrix product
/// (r,s,c) x (q) times (q) x (k) for each row p of outputs. In an image padded by <see cref="WidthPadding"/> the left matrix needs no packing: neighbouring columns lie side by
/// side, and along q every one is read stride·C floats further on. Only gradY is packed, panel by panel, whole panels of it where K is a multiple of their width.
/// <para>
/// Threads over splits of the rows, each with a partial result; their number follows from the shape, and they are added in order. Equals <see cref="WeightGradient"/>, which packs
/// both sides; for a 7x7 kernel of stride 2 on 3 channels packing is, by count, a tenth of its work and what hangs over the edges of its tiles another.
/// </para>
/// </summary>
internal static unsafe class RowWeightGradient
{
    private const int MaxDepth = 256, LeastWidth = 64, MostKernelRows = 16, RowsPerSplit = 16, MaxSplits = 16, MaxTileRows = 12;

    /// <summary>Short rows of outputs would load and store sums too often.</summary>
    public static bool Fits<TVector>(in Conv2dShapes z) where TVector : unmanaged, ISimd<TVector> =>
        z.Groups == 1 && z.InChannels < RegisterTile.Width<TVector>() && z.OutWidth >= LeastWidth
        && z.Window is { KernelWidth: > 1, DilationX: 1, KernelHeight: <= MostKernelRows };

    /// <param name="device">The device.</param>
    /// <param name="z">Sizes that fit.</param>
    /// <param name="source">The image with zero columns on both sides.</param>
    /// <param name="gradY">(N,OH,OW,K).</param>
    /// <param name="gradWeight">(K,R,S,C).</param>
    /// <param name="accumulate">Adds to what gradWeight holds.</param>
    /// <param name="owner">Who rents the scratch memory.</param>
    public static void Run<TVector>(CpuDevice device, in Conv2dShapes z, float* source, float* gradY, float* gradWeight, bool accumulate, string owner)
        where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("product along rows");
        int width = RegisterTile.Width<TVector>(), lines = checked(z.Batch * z.OutHeight), splits = Math.Clamp(lines / RowsPerSplit, 1, MaxSplits);
        int columns = z.Window.Area * z.InChannels, sumWidth = GemmBlock.WholePanels<TVector>(z.OutChannels), step = z.Window.StrideX * z.InChannels;
        using var sums = new Scratch(device, new Shape(splits, columns, sumWidth), DType.F32, owner);
        using var panels = new WorkerScratch(device, (long)MaxDepth * width * sizeof(float), owner);
        using var zeros = new Scratch(device, new Shape(MaxDepth * step), DType.F32, owner);
        new Span<float>(zeros.F32, MaxDepth * step).Clear();
        if (lines == 0)
            new Span<float>(sums.F32, columns * sumWidth).Clear();
        device.Team.For(splits, new Body<TVector>
        {
            Shapes = z,
            Source = source,
            GradY = gradY,
            Sums = sums.F32,
            Panels = panels.Memory,
            Zeros = zeros.F32,
            Lines = lines,
            Splits = splits,
            Columns = columns,
            SumWidth = sumWidth,
            Step = step,
        });
        device.Team.For(columns, new CombineBody<TVector>
        {
            Sums = sums.F32,
            GradWeight = gradWeight,
            Splits = splits,
            Columns = columns,
            SumWidth = sumWidth,
            OutChannels = z.OutChannels,
            Accumulate = accumulate,
        });
    }

    /// <summary>One split of the rows of outputs a task.</summary>
    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public Conv2dShapes Shapes;
        public float* Source, GradY, Sums, Zeros;
        public WorkerMemory Panels;
        public int Lines, Splits, Columns, SumWidth, Step;

        [SkipLocalsInit]
        public readonly void Invoke(int start, int end, int worker)
        {
            float** runs = stackalloc float*[MostKernelRows];
            int width = RegisterTile.Width<TVector>(), outWidth = Shapes.OutWidth, channels = Shapes.OutChannels;
            int pieces = (outWidth + MaxDepth - 1) / MaxDepth, depth = (outWidth + pieces - 1) / pieces;
            float* panel = Panels.Floats(worker);                                            // (q, Width)
            for (int split = start; split < end; split++)
            {
                int first = (int)((long)Lines * split / Splits), last = (int)(Lines * (split + 1L) / Splits);
                float* sums = Sums + (nint)split * Columns * SumWidth;                       // (r,s,c; k)
                for (int line = first; line < last; line++)
                    for (int q = 0; q < outWidth; q += depth)
                    {
                        Locate(line, q, runs);
                        int length = Math.Min(depth, outWidth - q);
                        for (int k = 0; k < channels; k += width)
                        {
                            Panel.Pack<TVector>(GradY + ((nint)line * outWidth + q) * channels + k, length, channels, Math.Min(width, channels - k), 1, panel);
                            Multiply(length, k, line > first || q > 0, runs, panel, sums);
                        }
                    }
            }
        }

        /// <summary>Where each row of the kernel reads for output q of a line; null where that is outside of the image.</summary>
        private readonly void Locate(int line, int q, float** runs)
        {
            var window = Shapes.Window;
            int image = line / Shapes.OutHeight, p = line % Shapes.OutHeight, paddedWidth = Shapes.Width + 2 * window.PadX;
            for (int r = 0; r < window.KernelHeight; r++)
            {
                int y = p * window.StrideY - window.PadY + r * window.DilationY;
                runs[r] = (uint)y >= (uint)Shapes.Height ? null
                    : Source + (((nint)image * Shapes.Height + y) * paddedWidth + q * window.StrideX) * Shapes.InChannels;
            }
        }

        [SkipLocalsInit]
        [MethodImpl(HotLoop.Options)]
        private readonly void Multiply(int depth, int outChannel, bool accumulate, float** runs, float* panel, float* sums)
        {
            float** from = stackalloc float*[MaxTileRows];
            float** to = stackalloc float*[MaxTileRows];
            int rows = RegisterTile.Rows<TVector>(), run = Columns / Shapes.Window.KernelHeight;
            var work = new TileWork
            {
                Taps = 1,
                Depth = depth,
                Step = Step,
                Column = outChannel,
                Columns = RegisterTile.Width<TVector>(),
                Accumulate = accumulate,
                Factor = 1,
            };
            for (int column = 0; column < Columns; column += rows)
            {
                for (int i = 0; i < rows; i++)
                {
                    int existing = Math.Min(column + i, Columns - 1), r = existing / run;
                    from[i] = runs[r] == null ? Zeros : runs[r] + (existing - r * run);
                    to[i] = sums + (nint)existing * SumWidth;
                }
                RegisterTile.Multiply<TVector>(work, from, panel, to);
            }
        }
    }

    /// <summary>Adds the splits' sums of a column (r,s,c) in order and turns them into a column of gradWeight; a column a task.</summary>
    private struct CombineBody<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Sums, GradWeight;
        public int Splits, Columns, SumWidth, OutChannels;
        public bool Accumulate;

        [MethodImpl(HotLoop.Options)]
        public readonly void Invoke(int start, int end, int worker)
        {
            nint split = (nint)Columns * SumWidth;
            for (int column = start; column < end; column++)
            {
                float* sums = Sums + (nint)column * SumWidth;
                for (int k = 0; k < SumWidth; k += TVector.Count)
                {
                    var sum = TVector.Load(sums + k);
                    for (int part = 1; part < Splits; part++)
                        sum += TVector.Load(sums + part * split + k);
                    TVector.Store(sum, sums + k);
                }
                for (int k = 0; k < OutChannels; k++)
                {
                    float* to = GradWeight + (nint)k * Columns + column;
                    *to = Accumulate ? *to + sums[k] : sums[k];
                }
            }
        }
    }
}
