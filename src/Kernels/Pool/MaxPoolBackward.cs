using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// gradX[n,iy,ix,c] (+)= sum of gradY over the windows that hold the pixel and whose index names it. Gather form: every input pixel
/// looks at the few windows it lies in, so threads over input rows write apart and the order of each sum is fixed. Lanes over channels;
/// indices are compared bit for bit as float lanes: numbers of pixels below 2³¹ - 2²³ are never NaN, and -1 (an empty window) always is.
/// </summary>
internal readonly unsafe record struct MaxPoolBackward(TensorView GradY, TensorView Index, TensorView GradX, Window Window, bool Accumulate) : IKernel
{
    private const int RowsPerThread = 4;

    public Cost Cost => new(GradY.Length, GradY.Bytes + Index.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate()
    {
        const string Name = nameof(MaxPoolBackward);
        Check.Rank(Name, "gradX", GradX, 4);
        Check.Rank(Name, "gradY", GradY, 4);
        MaxPoolShapes.Validate(Name, "gradY", GradX.Shape, GradY.Shape, Window);
        Check.Shape(Name, "index", Index, GradY.Shape, DType.I32);
        Check.Apart(Name, "gradY", GradY, "gradX", GradX);
    }

    public void Run(CpuDevice device)
    {
        var rows = new Rows(GradY.F32, Index.I32, GradX.F32, GradX.Shape, GradY.Shape, Window, Accumulate);
        device.For(GradX.Shape[0] * GradX.Shape[1], rows, VectorRange.Grain((long)GradX.Shape[2] * GradX.Shape[3]));
    }

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(GradX.Shape.Channels, GradX, GradY, Index))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = new ChannelGrid(GradX.Shape.Rows, GradX.Shape.Channels / T.Count, RowsPerThread);
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, GradY), device.I32(Index).Cast<T>(), GpuLanes.Of<T>(device, GradX), grid, Window, GradX.Shape[1], GradX.Shape[2], GradY.Shape[1], GradY.Shape[2],
            Accumulate ? 1 : 0));
    }

    internal readonly record struct Arguments<T>(
        ArrayView<T> GradY, ArrayView<T> Index, ArrayView<T> GradX, ChannelGrid Grid, Window Window, int Height, int Width, int OutHeight,
        int OutWidth, int Accumulate) where T : unmanaged, ISimd<T>;

    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        var window = a.Window;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.Width, image = row / a.Height, iy = row - image * a.Height, ix = pixel - row * a.Width, self = iy * a.Width + ix;
            int firstY = FirstWindow(iy, window.KernelHeight, window.StrideY, window.PadY, window.DilationY);
            int firstX = FirstWindow(ix, window.KernelWidth, window.StrideX, window.PadX, window.DilationX);
            int lastY = Math.Min(a.OutHeight - 1, (iy + window.PadY) / window.StrideY), lastX = Math.Min(a.OutWidth - 1, (ix + window.PadX) / window.StrideX);
            T sum = T.Zero, own = T.Create(BitConverter.Int32BitsToSingle(self));
            for (int oy = firstY; oy <= lastY; oy++)
                for (int ox = firstX; ox <= lastX; ox++)
                {
                    long from = (((long)image * a.OutHeight + oy) * a.OutWidth + ox) * channels + channel;
                    sum += T.And(T.Equal(a.Index[from], own), a.GradY[from]);
                }
            long to = (long)pixel * channels + channel;
            a.GradX[to] = a.Accumulate != 0 ? a.GradX[to] + sum : sum;
        }
    }

    /// <summary>The block of windows a pixel may lie in.</summary>
    private readonly struct Gathered(float* grads, float* places, int countY, int countX, int rowStep, int columnStep)
    {
        public readonly float* Grads = grads, Places = places;
        public readonly int CountY = countY, CountX = countX, RowStep = rowStep, ColumnStep = columnStep;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int FirstWindow(int at, int kernel, int stride, int pad, int dilation)
    {
        int before = at + pad - dilation * (kernel - 1);
        return before <= 0 ? 0 : (before + stride - 1) / stride;
    }

    private readonly struct Rows(float* gradY, int* index, float* gradX, Shape input, Shape output, Window window, bool accumulate) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int height = input[1], width = input[2], channels = input[3], rowStep = output[2] * channels;
            int quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            for (int row = start; row < end; row++)
            {
                int iy = row % height;
                var (firstY, lastY) = Windows(iy, window.KernelHeight, window.StrideY, window.PadY, window.DilationY, output[1]);
                long rowStart = ((long)(row / height) * output[1] + firstY) * rowStep;
                float* target = gradX + (long)row * width * channels;
                for (int ix = 0; ix < width; ix++, target += channels)
                {
                    var (firstX, lastX) = Windows(ix, window.KernelWidth, window.StrideX, window.PadX, window.DilationX, output[2]);
                    long first = rowStart + (long)firstX * channels;
                    var windows = new Gathered(gradY + first, (float*)index + first, lastY - firstY, lastX - firstX, rowStep, channels);
                    int pixel = iy * width + ix;
                    Pixel<Quad<TVector>>(windows, pixel, target, accumulate, 0, quads);
                    Pixel<TVector>(windows, pixel, target, accumulate, quads, vectors);
                    Pixel<F32x1>(windows, pixel, target, accumulate, vectors, channels);
                }
            }
        }

        // With dilation some windows between the first and the last skip the pixel; their indices do not name it.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static (int First, int Last) Windows(int at, int kernel, int stride, int pad, int dilation, int count)
        {
            int first = FirstWindow(at, kernel, stride, pad, dilation);
            return (first, Math.Max(first, Math.Min(count, (at + pad) / stride + 1)));
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(in Gathered windows, int pixel, float* target, bool add, int from, int to)
            where TVector : unmanaged, ISimd<TVector>
        {
            if (from == to)
                return;
            float* grads = windows.Grads, places = windows.Places;
            int countY = windows.CountY, countX = windows.CountX, rowStep = windows.RowStep, columnStep = windows.ColumnStep;
            var self = TVector.Create(BitConverter.Int32BitsToSingle(pixel));
            for (int c = from; c < to; c += TVector.Count)
            {
                var sum = TVector.Zero;
                for (int oy = 0; oy < countY; oy++)
                {
                    long at = (long)oy * rowStep + c;
                    for (int ox = 0; ox < countX; ox++, at += columnStep)
                        sum += TVector.And(TVector.Equal(TVector.Load(places + at), self), TVector.Load(grads + at));
                }
                TVector.Store(add ? TVector.Load(target + c) + sum : sum, target + c);
            }
        }
    }
}
