using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// The loops of every resize. Forward: threads over output rows, each pixel one weighted sum of up to four input pixels. Backward:
/// threads over input rows, each pixel gathers its outputs row by row, so writes are apart and sums in a fixed order. Lanes over
/// channels; in the gather four vectors share the index arithmetic. Data is read from memory once: neighbouring rows meet in the cache.
/// </summary>
internal static unsafe partial class ResizeRows
{
    /// <summary>Both f32 of rank 4 with equal batch and channels; an output needs an input to read.</summary>
    public static void Validate(string operation, string inputName, TensorView input, string outputName, TensorView output)
    {
        Check.Rank(operation, inputName, input, 4);
        Check.Rank(operation, outputName, output, 4);
        Check.That(output.Shape[0] == input.Shape[0] && output.Shape[3] == input.Shape[3], operation, outputName,
            $"batch and channels of {inputName} {input}", output);
        Check.That(input.Shape[1] > 0 && input.Shape[2] > 0, operation, inputName, "at least one pixel", input);
        Check.Apart(operation, inputName, input, outputName, output);
    }

    public static void Forward(CpuDevice device, TensorView x, TensorView y, ResizeMode mode)
    {
        using var table = Rent(device, x.Shape, y.Shape);
        var (rows, columns) = Axes(table, mode, x.Shape, y.Shape);
        var body = new ForwardBody(x.F32, y.F32, x.Shape, y.Shape, rows, columns);
        device.For(y.Shape[0] * y.Shape[1], body, VectorRange.Grain((long)y.Shape[2] * y.Shape[3]));
    }

    public static void Backward(CpuDevice device, TensorView gradY, TensorView gradX, ResizeMode mode, bool accumulate)
    {
        using var table = Rent(device, gradX.Shape, gradY.Shape);
        var (rows, columns) = Axes(table, mode, gradX.Shape, gradY.Shape);
        var body = new BackwardBody(gradY.F32, gradX.F32, gradX.Shape, gradY.Shape, rows, columns, accumulate);
        int tasks = gradX.Shape[0] * gradX.Shape[1];
        device.For(tasks, body, VectorRange.Grain((gradX.Length + gradY.Length) / Math.Max(1, tasks)));
    }

    private static Scratch Rent(CpuDevice device, Shape input, Shape output) => new(
        device, new Shape(ResizeAxis.TableLength(input[1], output[1]) + ResizeAxis.TableLength(input[2], output[2])), DType.I32, nameof(ResizeRows));

    private static (ResizeAxis Rows, ResizeAxis Columns) Axes(Scratch table, ResizeMode mode, Shape input, Shape output) => (
        new(table.I32, mode, input[1], output[1]),
        new(table.I32 + ResizeAxis.TableLength(input[1], output[1]), mode, input[2], output[2]));

    private readonly struct ForwardBody(float* x, float* y, Shape input, Shape output, ResizeAxis rows, ResizeAxis columns) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int channels = input[3], outHeight = output[1], outWidth = output[2], vectors = channels / TVector.Count * TVector.Count;
            long rowLength = (long)input[2] * channels;
            for (int row = start; row < end; row++)
            {
                int oy = row % outHeight;
                float* top = x + ((long)(row / outHeight) * input[1] + rows.Low[oy]) * rowLength;
                float weightY = rows.Weight[oy];
                long down = weightY > 0 ? rowLength : 0;
                float* to = y + (long)row * outWidth * channels;
                for (int ox = 0; ox < outWidth; ox++, to += channels)
                {
                    float* from = top + (long)columns.Low[ox] * channels;
                    float weightX = columns.Weight[ox];
                    int right = weightX > 0 ? channels : 0;
                    Pixel<TVector>(from, down, right, weightY, weightX, to, 0, vectors);
                    Pixel<F32x1>(from, down, right, weightY, weightX, to, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(float* from, long down, int right, float weightY, float weightX, float* to, int first, int last)
            where TVector : unmanaged, ISimd<TVector>
        {
            if (down == 0 && right == 0)
            {
                for (int c = first; c < last; c += TVector.Count)
                    TVector.Store(TVector.Load(from + c), to + c);
                return;
            }
            TVector upperLeft = TVector.Create((1 - weightY) * (1 - weightX)), upperRight = TVector.Create((1 - weightY) * weightX);
            TVector lowerLeft = TVector.Create(weightY * (1 - weightX)), lowerRight = TVector.Create(weightY * weightX);
            float* below = from + down;
            for (int c = first; c < last; c += TVector.Count)
            {
                var upper = TVector.Fma(TVector.Load(from + right + c), upperRight, TVector.Load(from + c) * upperLeft);
                var lower = TVector.Fma(TVector.Load(below + right + c), lowerRight, TVector.Load(below + c) * lowerLeft);
                TVector.Store(upper + lower, to + c);
            }
        }
    }

    private readonly struct BackwardBody(float* gradY, float* gradX, Shape input, Shape output, ResizeAxis rows, ResizeAxis columns, bool accumulate)
        : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int channels = input[3], height = input[1], width = input[2];
            int quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            long rowLength = (long)output[2] * channels;
            for (int row = start; row < end; row++)
            {
                int iy = row % height;
                float* from = gradY + ((long)(row / height) * output[1] + rows.Begin[iy]) * rowLength;
                float* to = gradX + (long)row * width * channels;
                int countY = rows.End[iy] - rows.Begin[iy];
                float* weightsY = rows.Gradient + rows.Start[iy];
                for (int ix = 0; ix < width; ix++, to += channels)
                {
                    var taps = new Gathered(from + (long)columns.Begin[ix] * channels, rowLength, channels, countY,
                        columns.End[ix] - columns.Begin[ix], weightsY, columns.Gradient + columns.Start[ix]);
                    Pixel<Quad<TVector>>(taps, to, accumulate, 0, quads);
                    Pixel<TVector>(taps, to, accumulate, quads, vectors);
                    Pixel<F32x1>(taps, to, accumulate, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(in Gathered taps, float* to, bool add, int first, int last) where TVector : unmanaged, ISimd<TVector>
        {
            if (first == last)
                return;
            long rowStep = taps.RowStep;
            int columnStep = taps.ColumnStep, countX = taps.CountX, countY = taps.CountY;
            float* weightsY = taps.WeightsY, weightsX = taps.WeightsX, corner = taps.From;
            for (int c = first; c < last; c += TVector.Count)
            {
                var sum = TVector.Zero;
                for (int oy = 0; oy < countY; oy++)
                {
                    float* from = corner + oy * rowStep + c;
                    float weightY = weightsY[oy];
                    for (int ox = 0; ox < countX; ox++, from += columnStep)
                        TVector.AddProduct(ref sum, TVector.Create(weightY * weightsX[ox]), TVector.Load(from));
                }
                TVector.Store(add ? TVector.Load(to + c) + sum : sum, to + c);
            }
        }
    }

    /// <summary>The block of outputs that read one input pixel, and their weights.</summary>
    private readonly struct Gathered(float* from, long rowStep, int columnStep, int countY, int countX, float* weightsY, float* weightsX)
    {
        public readonly float* From = from, WeightsY = weightsY, WeightsX = weightsX;
        public readonly long RowStep = rowStep;
        public readonly int ColumnStep = columnStep, CountY = countY, CountX = countX;
    }
}
