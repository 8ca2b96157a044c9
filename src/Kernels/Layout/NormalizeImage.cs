using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>One number for each of the three channels of an image, in the image's channel order.</summary>
internal readonly record struct ChannelTriple(float First, float Second, float Third)
{
    public float this[int channel] => channel switch { 0 => First, 1 => Second, _ => Third };
}

/// <summary>
/// y = (x - mean) / deviation per channel; x is u8 (N,H,W,3), mean and deviation are in levels 0..255. A byte has 256 values, so
/// the formula is evaluated once into a table (3 KB) and every pixel is three look-ups; threads over rows.
/// </summary>
internal readonly unsafe record struct NormalizeImage(TensorView X, TensorView Y, ChannelTriple Mean, ChannelTriple Deviation) : IKernel
{
    private const int Levels = 256;

    public Cost Cost => new(2.0 * Y.Length, X.Bytes + Y.Bytes);

    public void Validate()
    {
        const string Name = nameof(NormalizeImage);
        Check.Rank(Name, "x", X, 4, DType.U8);
        Check.That(X.Shape.Channels == 3, Name, "x", "three channels", X);
        Check.Shape(Name, "y", Y, X.Shape);
        for (int c = 0; c < 3; c++)
        {
            Check.That(float.IsFinite(Mean[c]), Name, "mean", "finite levels", Mean);
            Check.That(Deviation[c] > 0 && float.IsFinite(Deviation[c]), Name, "deviation", "levels above 0", Deviation);
        }
    }

    public void Run(CpuDevice device)
    {
        using var table = new Scratch(device, new Shape(3, Levels), DType.F32, nameof(NormalizeImage));
        for (int c = 0; c < 3; c++)
            for (int level = 0; level < Levels; level++)
                table.F32[c * Levels + level] = (float)(((double)level - Mean[c]) / Deviation[c]);
        int width = X.Shape[2];
        device.Team.For(X.Shape[0] * X.Shape[1], new Rows(X.U8, Y.F32, table.F32, width), VectorRange.Grain(3L * width));
    }

    private readonly struct Rows(byte* x, float* y, float* table, int width) : IRangeBody
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Invoke(int start, int end, int worker)
        {
            float* first = table, second = table + Levels, third = table + 2 * Levels;
            byte* pixel = x + 3L * start * width;
            byte* stop = x + 3L * end * width;
            for (float* result = y + 3L * start * width; pixel < stop; pixel += 3, result += 3)
            {
                result[0] = first[pixel[0]];
                result[1] = second[pixel[1]];
                result[2] = third[pixel[2]];
            }
        }
    }
}
