using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// The loops of average pooling: threads over the rows that are written, lanes over channels, four vectors sharing the index arithmetic. Both
/// directions are one weighted sum over a block of pixels: the inputs of an output, or the outputs of an input.
/// </summary>
internal static unsafe partial class AveragePoolRows
{
    public static void Validate(string operation, string inputName, TensorView input, string outputName, TensorView output, AverageAxis rows, AverageAxis columns)
    {
        Check.Rank(operation, inputName, input, 4);
        Check.Rank(operation, outputName, output, 4);
        rows.Validate(operation, "rows");
        columns.Validate(operation, "columns");
        Check.That(rows.Input == input.Shape[1] && columns.Input == input.Shape[2], operation, inputName, $"{rows.Input}x{columns.Input} pixels", input);
        Check.Shape(operation, outputName, output, new Shape(input.Shape[0], rows.Output, columns.Output, input.Shape[3]));
        Check.That(output.Length == 0 || rows.Input > 0 && columns.Input > 0, operation, inputName, "at least one pixel", input);
        Check.Apart(operation, inputName, input, outputName, output);
    }

    public static void Forward(CpuDevice device, AveragePoolForward op)
    {
        int tasks = op.Y.Shape[0] * op.Y.Shape[1];
        device.For(tasks, new ForwardBody(op.X.F32, op.Y.F32, op.Rows, op.Columns, op.X.Shape[3]), VectorRange.Grain((op.X.Length + op.Y.Length) / Math.Max(1, tasks)));
    }

    public static void Backward(CpuDevice device, AveragePoolBackward op)
    {
        int tasks = op.GradX.Shape[0] * op.GradX.Shape[1], width = op.Columns.Output;
        using var shares = new Scratch(device, new Shape(op.Rows.Output + width), DType.F32, nameof(AveragePoolRows));
        for (int o = 0; o < op.Rows.Output; o++)
            shares.F32[o] = 1f / op.Rows.Divisor(o);
        for (int o = 0; o < width; o++)
            shares.F32[op.Rows.Output + o] = 1f / op.Columns.Divisor(o);
        var body = new BackwardBody(op.GradY.F32, op.GradX.F32, op.Rows, op.Columns, shares.F32, op.GradX.Shape[3], op.Accumulate);
        device.For(tasks, body, VectorRange.Grain((op.GradX.Length + op.GradY.Length) / Math.Max(1, tasks)));
    }

    private readonly struct ForwardBody(float* x, float* y, AverageAxis rows, AverageAxis columns, int channels) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            long rowLength = (long)columns.Input * channels;
            for (int row = start; row < end; row++)
            {
                int image = row / rows.Output, oy = row - image * rows.Output, top = rows.Begin(oy), height = rows.End(oy) - top;
                float* line = x + ((long)image * rows.Input + top) * rowLength, to = y + (long)row * columns.Output * channels;
                for (int ox = 0; ox < columns.Output; ox++, to += channels)
                {
                    int left = columns.Begin(ox);
                    var block = new Block(line + (long)left * channels, rowLength, channels, height, columns.End(ox) - left);
                    float share = 1f / ((float)rows.Divisor(oy) * columns.Divisor(ox));
                    Pixel<Quad<TVector>>(block, share, to, 0, quads);
                    Pixel<TVector>(block, share, to, quads, vectors);
                    Pixel<F32x1>(block, share, to, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(in Block block, float share, float* to, int first, int last) where TVector : unmanaged, ISimd<TVector>
        {
            if (first == last)
                return;
            var lanes = TVector.Create(share);
            for (int c = first; c < last; c += TVector.Count)
            {
                var sum = TVector.Zero;
                for (int i = 0; i < block.Height; i++)
                {
                    float* from = block.From + i * block.RowLength + c;
                    for (int j = 0; j < block.Width; j++, from += block.Step)
                        sum += TVector.Load(from);
                }
                TVector.Store(sum * lanes, to + c);
            }
        }
    }

    /// <summary>Shares: 1 / divisor of each row of outputs, then of each column.</summary>
    private readonly struct BackwardBody(float* gradY, float* gradX, AverageAxis rows, AverageAxis columns, float* shares, int channels, bool accumulate) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            long rowLength = (long)columns.Output * channels;
            for (int row = start; row < end; row++)
            {
                int image = row / rows.Input, iy = row - image * rows.Input, top = rows.FirstOutput(iy), height = Math.Max(0, rows.EndOutput(iy) - top);
                float* line = gradY + ((long)image * rows.Output + top) * rowLength, to = gradX + (long)row * columns.Input * channels;
                for (int ix = 0; ix < columns.Input; ix++, to += channels)
                {
                    int left = columns.FirstOutput(ix);
                    var block = new Block(line + (long)left * channels, rowLength, channels, height, Math.Max(0, columns.EndOutput(ix) - left));
                    float* down = shares + top, across = shares + rows.Output + left;
                    Pixel<Quad<TVector>>(block, down, across, to, accumulate, 0, quads);
                    Pixel<TVector>(block, down, across, to, accumulate, quads, vectors);
                    Pixel<F32x1>(block, down, across, to, accumulate, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(in Block block, float* down, float* across, float* to, bool add, int first, int last)
            where TVector : unmanaged, ISimd<TVector>
        {
            if (first == last)
                return;
            for (int c = first; c < last; c += TVector.Count)
            {
                var sum = TVector.Zero;
                for (int i = 0; i < block.Height; i++)
                {
                    float* from = block.From + i * block.RowLength + c;
                    for (int j = 0; j < block.Width; j++, from += block.Step)
                        TVector.AddProduct(ref sum, TVector.Create(down[i] * across[j]), TVector.Load(from));
                }
                TVector.Store(add ? TVector.Load(to + c) + sum : sum, to + c);
            }
        }
    }

    /// <summary>A block of pixels that is summed into one.</summary>
    private readonly struct Block(float* from, long rowLength, int step, int height, int width)
    {
        public readonly float* From = from;
        public readonly long RowLength = rowLength;
        public readonly int Step = step, Height = height, Width = width;
    }
}
