using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// y = x in the other type: float32 to bf16, rounded to nearest with ties to even, or bf16 to float32, exactly. Both paths give the same bits. Narrowing on a GPU
/// is what tensor cores wait for: eight numbers a thread by 128-bit accesses where both views lie so.
/// </summary>
internal readonly record struct ConvertType(TensorView X, TensorView Y) : IKernel
{
    private const int Wide = 8, Task = 4096;

    public Cost Cost => new(0, X.Bytes + Y.Bytes);

    public void Validate()
    {
        const string operation = nameof(ConvertType);
        if (X.IsNone || Y.IsNone || (X.Type, Y.Type) is not ((DType.F32, DType.BF16) or (DType.BF16, DType.F32)) || X.Length != Y.Length)
            throw new KernelException($"{operation}: expects x and y of equal length, one f32 and one bf16, but x is {X} and y is {Y}");
        Check.Apart(operation, "x", X, "y", Y);
    }

    public unsafe void Run(CpuDevice device) =>
        device.Team.For(checked((int)((X.Length + Task - 1) / Task)), X.Type == DType.F32
            ? new Body { Singles = X.F32, Halves = Y.BF16, Count = X.Length, Narrow = true }
            : new Body { Singles = Y.F32, Halves = X.BF16, Count = X.Length });

    public void Run(GpuDevice device)
    {
        if (X.Type == DType.BF16)
            device.LaunchFor(Widen, X.Length, new Arguments(device.F32(Y), device.BF16(X)));
        else if (X.Length % Wide == 0 && X.Offset % 4 == 0 && Y.Offset % Wide == 0)
            device.LaunchFor(NarrowEight, X.Length / Wide, new WideArguments(device.F32(X).Cast<F4>(), device.Words(Y).Cast<F4>()));
        else
            device.LaunchFor(Narrow, X.Length, new Arguments(device.F32(X), device.BF16(Y)));
    }

    private unsafe struct Body : IRangeBody
    {
        public float* Singles;
        public ushort* Halves;
        public long Count;
        public bool Narrow;

        public readonly void Invoke(int start, int end, int worker)
        {
            long i = (long)start * Task, stop = Math.Min(Count, (long)end * Task);
            if (Narrow)
                for (; i < stop; i++)
                    Halves[i] = (ushort)BFloat16.Narrow(Singles[i]);
            else
                for (; i < stop; i++)
                    Singles[i] = BFloat16.Widen(Halves[i]);
        }
    }

    internal readonly record struct Arguments(ArrayView<float> Singles, ArrayView<ushort> Halves);

    internal readonly record struct WideArguments(ArrayView<F4> Singles, ArrayView<F4> Eights);

    private static void Narrow(Arguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Singles.Length)
            a.Halves[i] = (ushort)BFloat16.Narrow(a.Singles[i]);
    }

    private static void Widen(Arguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Singles.Length)
            a.Singles[i] = BFloat16.Widen(a.Halves[i]);
    }

    private static void NarrowEight(WideArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Eights.Length)
            return;
        F4 low = a.Singles[2 * i], high = a.Singles[2 * i + 1];
        a.Eights[i] = new(Pair(low.X, low.Y), Pair(low.Z, low.W), Pair(high.X, high.Y), Pair(high.Z, high.W));
    }

    private static float Pair(float low, float high) => Interop.IntAsFloat(BFloat16.Narrow(low) | BFloat16.Narrow(high) << 16);
}
