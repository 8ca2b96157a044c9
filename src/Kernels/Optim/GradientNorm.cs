using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Norm[0] = √Σg², the Euclidean norm of a flat block; Norm[1] = 1 when every element is finite, else 0. Squares sum in lanes
/// within a block, blocks and chunks in double, in order; a block whose float32 sum overflows is summed again in double, so
/// the flag is exact.
/// </summary>
internal readonly unsafe record struct GradientNorm(TensorView Gradient, TensorView Norm) : IKernel, ISimdBody
{
    private const int Chunk = 65536, Block = 2048;

    public Cost Cost => new(2.0 * Gradient.Length, Gradient.Bytes);

    public void Validate()
    {
        Check.That(!Gradient.IsNone && Gradient.Type == DType.F32, nameof(GradientNorm), "gradient", "f32", Gradient);
        Check.Shape(nameof(GradientNorm), "norm", Norm, new Shape(2));
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int chunks = (int)((Gradient.Length + Chunk - 1) / Chunk);
        using var sums = new ChunkSums(device, chunks, nameof(GradientNorm));
        device.Team.For(chunks, new Body<TVector> { Gradient = Gradient.F32, Sums = sums.Values, Length = Gradient.Length });
        double total = sums.Total();
        Norm.F32[0] = (float)Math.Sqrt(total);
        Norm.F32[1] = double.IsFinite(total) ? 1 : 0;
    }

    public void Run(GpuDevice device)
    {
        long groups = GpuSums.Groups(Gradient.Length);
        using var sums = new GpuSums(device, groups, nameof(GradientNorm));
        device.Launch(SquaresKernel, groups, GpuSums.GroupSize, new Arguments(device.F32(Gradient), default, sums.Partial, groups));
        device.Launch(NormKernel, 1, GpuSums.GroupSize, new Arguments(default, device.F32(Norm), sums.Partial, groups));
    }

    internal readonly record struct Arguments(ArrayView<float> Gradient, ArrayView<float> Norm, ArrayView<double> Partial, long Groups);

    // Squares of float32 neither overflow nor vanish in double, so the sum is finite exactly where every element is.
    private static void SquaresKernel(Arguments a)
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        long start = (long)Grid.IdxX * (GpuSums.GroupSize * GpuSums.PerThread) + Group.IdxX;
        double sum = 0;
        for (int k = 0; k < GpuSums.PerThread; k++)
        {
            long i = start + k * GpuSums.GroupSize;
            if (i < a.Gradient.Length)
            {
                double value = a.Gradient[i];
                sum += value * value;
            }
        }
        sum = GpuSums.OfGroup(shared, sum);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }

    private static void NormKernel(Arguments a)
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        double sum = GpuSums.OfGroup(shared, GpuSums.Share(a.Partial, a.Groups));
        if (Group.IdxX != 0)
            return;
        a.Norm[0] = (float)Math.Sqrt(sum);
        a.Norm[1] = sum <= double.MaxValue ? 1f : 0f;
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Gradient;
        public double* Sums;
        public long Length;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            for (int chunk = start; chunk < end; chunk++)
            {
                long from = (long)chunk * Chunk, to = Math.Min(Length, from + Chunk);
                double sum = 0;
                for (long block = from; block < to; block += Block)
                {
                    int count = (int)Math.Min(Block, to - block);
                    double squares = Squares(Gradient + block, count);
                    sum += double.IsFinite(squares) ? squares : WideSquares(Gradient + block, count);
                }
                Sums[chunk] = sum;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static double Squares(float* g, int count)
        {
            TVector a = TVector.Zero, b = TVector.Zero;
            int i = 0;
            for (; i <= count - 2 * TVector.Count; i += 2 * TVector.Count)
            {
                TVector low = TVector.Load(g + i), high = TVector.Load(g + i + TVector.Count);
                TVector.AddProduct(ref a, low, low);
                TVector.AddProduct(ref b, high, high);
            }
            double sum = TVector.Sum(a + b);
            for (; i < count; i++)
                sum += (double)g[i] * g[i];
            return sum;
        }

        private static double WideSquares(float* g, int count)
        {
            double sum = 0;
            for (int i = 0; i < count; i++)
                sum += (double)g[i] * g[i];
            return sum;
        }
    }
}

/// <summary>
/// Guard[0] = min(1, MaxNorm/(norm + 1e-6)), Guard[1] = the finite flag of <see cref="GradientNorm"/>: what the optimizer
/// steps read on the device. An infinite MaxNorm clips nothing.
/// </summary>
internal readonly unsafe record struct ClipFactor(TensorView Norm, TensorView Guard, float MaxNorm) : IKernel
{
    public Cost Cost => new(2, Norm.Bytes + Guard.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(ClipFactor), "norm", Norm, new Shape(2));
        Check.Shape(nameof(ClipFactor), "guard", Guard, new Shape(2));
        Check.That(MaxNorm > 0, nameof(ClipFactor), "maximum norm", "a positive number", MaxNorm);
    }

    public void Run(CpuDevice device)
    {
        float finite = Norm.F32[1];
        Guard.F32[0] = float.IsInfinity(MaxNorm) ? 1 : MathF.Min(1, MaxNorm / (Norm.F32[0] + 1e-6f));
        Guard.F32[1] = finite;
    }

    public void Run(GpuDevice device) => device.Launch(Kernel, 1, 1, new Arguments(device.F32(Norm), device.F32(Guard), MaxNorm));

    internal readonly record struct Arguments(ArrayView<float> Norm, ArrayView<float> Guard, float MaxNorm);

    private static void Kernel(Arguments a)
    {
        float finite = a.Norm[1], factor = a.MaxNorm > float.MaxValue ? 1 : a.MaxNorm / (a.Norm[0] + 1e-6f);
        a.Guard[0] = factor > 1 ? 1 : factor;
        a.Guard[1] = finite;
    }
}
