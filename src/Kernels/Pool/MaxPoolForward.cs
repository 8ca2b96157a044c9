using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// y[n,oy,ox,c] = max over the window's taps inside the image; index = iy·W + ix of the first maximum in row order. Padding never
/// wins, NaN always does. A window without a tap inside gives -∞ and index -1. Layout (N,H,W,C), lanes over channels
/// (four vectors share the index arithmetic), threads over output rows. Ceil mode is a y one larger than the window says (<see cref="MaxPoolShapes"/>).
/// Index bits ride through the vectors as float lanes, which selects and stores do not look at.
/// </summary>
internal readonly unsafe record struct MaxPoolForward(TensorView X, TensorView Y, TensorView Index, Window Window) : IKernel
{
    private const int RowsPerThread = 4;

    public Cost Cost => new((double)Y.Length * Window.Area, X.Bytes + Y.Bytes + Index.Bytes);

    public void Validate()
    {
        const string Name = nameof(MaxPoolForward);
        Check.Rank(Name, "x", X, 4);
        Check.Rank(Name, "y", Y, 4);
        MaxPoolShapes.Validate(Name, "y", X.Shape, Y.Shape, Window);
        Check.Shape(Name, "index", Index, Y.Shape, DType.I32);
        Check.Apart(Name, "x", X, "y", Y);
        Check.Apart(Name, "x", X, "index", Index);
        Check.Apart(Name, "y", Y, "index", Index);
    }

    public void Run(CpuDevice device)
    {
        var rows = new Rows(X.F32, Y.F32, Index.I32, X.Shape, Y.Shape, Window);
        device.For(Y.Shape[0] * Y.Shape[1], rows, VectorRange.Grain((long)Y.Shape[2] * Y.Shape[3] * Window.Area / 2));
    }

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(X.Shape.Channels, X, Y, Index))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = new ChannelGrid(Y.Shape.Rows, Y.Shape.Channels / T.Count, RowsPerThread);
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, X), GpuLanes.Of<T>(device, Y), device.I32(Index).Cast<T>(), grid, Window, X.Shape[1], X.Shape[2], Y.Shape[1], Y.Shape[2]));
    }

    internal readonly record struct Arguments<T>(
        ArrayView<T> X, ArrayView<T> Y, ArrayView<T> Index, ChannelGrid Grid, Window Window, int Height, int Width, int OutHeight, int OutWidth)
        where T : unmanaged, ISimd<T>;

    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        var window = a.Window;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.OutWidth, image = row / a.OutHeight;
            int top = (row - image * a.OutHeight) * window.StrideY - window.PadY, left = (pixel - row * a.OutWidth) * window.StrideX - window.PadX;
            var (firstY, lastY) = MaxPoolShapes.Taps(top, window.KernelHeight, window.DilationY, a.Height);
            var (firstX, lastX) = MaxPoolShapes.Taps(left, window.KernelWidth, window.DilationX, a.Width);
            long start = (long)image * a.Height * a.Width;
            int first = (top + firstY * window.DilationY) * a.Width + left + firstX * window.DilationX;
            var best = T.Create(float.NegativeInfinity);
            // The first tap in the image is the place even if it is -∞; after that only a larger value, or the first NaN.
            var place = Bits<T>(firstY == lastY || firstX == lastX ? -1 : first);
            for (int ky = firstY; ky < lastY; ky++, first += window.DilationY * a.Width)
                for (int kx = firstX, at = first; kx < lastX; kx++, at += window.DilationX)
                {
                    var value = a.X[(start + at) * channels + channel];
                    var better = Better(value, best);
                    best = T.Select(better, value, best);
                    place = T.Select(better, Bits<T>(at), place);
                }
            a.Y[(long)pixel * channels + channel] = best;
            a.Index[(long)pixel * channels + channel] = place;
        }
    }

    /// <summary>The taps of one window that lie in the image, as pixel numbers: First + ky·RowStep + kx·ColumnStep.</summary>
    private readonly struct Taps(int first, int countY, int countX, int rowStep, int columnStep)
    {
        public readonly int First = first, CountY = countY, CountX = countX, RowStep = rowStep, ColumnStep = columnStep;
    }

    private readonly struct Rows(float* x, float* y, int* index, Shape input, Shape output, Window window) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int height = input[1], width = input[2], channels = input[3], outHeight = output[1], outWidth = output[2];
            int quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            for (int row = start; row < end; row++)
            {
                float* image = x + (long)(row / outHeight) * height * width * channels;
                int top = row % outHeight * window.StrideY - window.PadY;
                var (firstY, lastY) = MaxPoolShapes.Taps(top, window.KernelHeight, window.DilationY, height);
                for (int ox = 0; ox < outWidth; ox++)
                {
                    int left = ox * window.StrideX - window.PadX;
                    var (firstX, lastX) = MaxPoolShapes.Taps(left, window.KernelWidth, window.DilationX, width);
                    int first = (top + firstY * window.DilationY) * width + left + firstX * window.DilationX;
                    var taps = new Taps(first, lastY - firstY, lastX - firstX, window.DilationY * width, window.DilationX);
                    long to = ((long)row * outWidth + ox) * channels;
                    Pixel<Quad<TVector>>(image, channels, y + to, (float*)index + to, taps, 0, quads);
                    Pixel<TVector>(image, channels, y + to, (float*)index + to, taps, quads, vectors);
                    Pixel<F32x1>(image, channels, y + to, (float*)index + to, taps, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(float* image, int channels, float* values, float* places, in Taps taps, int from, int to)
            where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            int first = taps.First, countY = taps.CountY, countX = taps.CountX, rowStep = taps.RowStep, columnStep = taps.ColumnStep;
            int start = countY == 0 || countX == 0 ? -1 : first;
            for (int c = from; c < to; c += TVector.Count)
            {
                var best = TVector.Create(float.NegativeInfinity);
                var place = Bits<TVector>(start);
                for (int ky = 0; ky < countY; ky++)
                {
                    int at = first + ky * rowStep;
                    for (int kx = 0; kx < countX; kx++, at += columnStep)
                    {
                        var value = TVector.Load(image + (long)at * channels + c);
                        var better = Better(value, best);
                        best = TVector.Select(better, value, best);
                        place = TVector.Select(better, Bits<TVector>(at), place);
                    }
                }
                TVector.Store(best, values + c);
                TVector.Store(place, places + c);
            }
        }
    }

    // Not best ≥ value, so that a NaN gets in; and best a number, so that it stays.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Better<TVector>(TVector value, TVector best) where TVector : unmanaged, ISimd<TVector> =>
        TVector.Select(TVector.GreaterOrEqual(best, value), TVector.Zero, TVector.Equal(best, best));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Bits<TVector>(int value) where TVector : unmanaged, ISimd<TVector> =>
        TVector.Create(BitConverter.Int32BitsToSingle(value));
}
