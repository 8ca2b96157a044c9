using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

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

    // Whole pixels, so that a group begins with the first channel.
    private const int GroupBytes = 3 * 4096;

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
                table.F32[c * Levels + level] = Value(level, Mean[c], Deviation[c]);
        int width = X.Shape[2];
        device.Team.For(X.Shape[0] * X.Shape[1], new Rows(X.U8, Y.F32, table.F32, width), VectorRange.Grain(3L * width));
    }

    private static float Value(double level, double mean, double deviation) => (float)((level - mean) / deviation);

    public void Run(GpuDevice device) => device.Launch(Kernel, (X.Length + GroupBytes - 1) / GroupBytes, Levels,
        new Arguments(device.U8(X), device.F32(Y), Mean, Deviation));

    internal readonly record struct Arguments(ArrayView<byte> X, ArrayView<float> Y, ChannelTriple Mean, ChannelTriple Deviation);

    /// <summary>Every group makes the table in shared memory, then looks up its bytes, neighbouring threads neighbouring bytes.</summary>
    private static void Kernel(Arguments a)
    {
        var table = SharedMemory.Allocate<float>(3 * Levels);
        int thread = Group.IdxX;
        table[thread] = Value(thread, a.Mean.First, a.Deviation.First);
        table[Levels + thread] = Value(thread, a.Mean.Second, a.Deviation.Second);
        table[2 * Levels + thread] = Value(thread, a.Mean.Third, a.Deviation.Third);
        Group.Barrier();
        long start = (long)Grid.IdxX * GroupBytes;
        int count = (int)Math.Min(GroupBytes, a.X.Length - start);
        for (int i = thread; i < count; i += Levels)
            a.Y[start + i] = table[i % 3 * Levels + a.X[start + i]];
    }

    private readonly struct Rows(byte* x, float* y, float* table, int width) : IRangeBody
    {
        [MethodImpl(HotLoop.Options)]
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
