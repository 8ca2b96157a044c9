using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>A formula on one or two inputs, written once for every vector width; one lane serves the tail.</summary>
internal interface IPointwise
{
    /// <summary>1 or 2; a formula of one input gets it twice.</summary>
    static abstract int Inputs { get; }

    TVector Apply<TVector>(TVector a, TVector b) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>
/// y = f(a, b), or y += f(a, b), element by element over flat memory. The work is cut into blocks of 1024 elements, so where
/// vectors end and the scalar tail begins does not depend on the threads. y may be the very view of an input.
/// </summary>
internal static unsafe class Pointwise
{
    private const int Block = 1024;

    public static void Run<TOp>(CpuDevice device, TensorView a, TensorView b, TensorView y, bool accumulate, TOp op)
        where TOp : unmanaged, IPointwise
    {
        long length = y.Length;
        var range = new Range<TOp>(a.F32, b.F32, y.F32, length, accumulate, op);
        device.For(checked((int)((length + Block - 1) / Block)), range, VectorRange.Grain(Block));
    }

    /// <summary>The same on the other path: one thread an element, or four of them.</summary>
    public static void Run<TOp>(GpuDevice device, TensorView a, TensorView b, TensorView y, bool accumulate, TOp op)
        where TOp : unmanaged, IPointwise
    {
        if (GpuLanes.ByFour(y.Length, a, b, y))
            Run<TOp, Quad<F32x1>>(device, a, b, y, accumulate, op);
        else
            Run<TOp, F32x1>(device, a, b, y, accumulate, op);
    }

    private static void Run<TOp, T>(GpuDevice device, TensorView a, TensorView b, TensorView y, bool accumulate, TOp op)
        where TOp : unmanaged, IPointwise where T : unmanaged, ISimd<T> =>
        device.LaunchFor(Kernel, y.Length / T.Count, new Arguments<TOp, T>(
            GpuLanes.Of<T>(device, a), GpuLanes.Of<T>(device, b), GpuLanes.Of<T>(device, y), accumulate ? 1 : 0, op));

    internal readonly record struct Arguments<TOp, T>(ArrayView<T> A, ArrayView<T> B, ArrayView<T> Y, int Accumulate, TOp Op)
        where TOp : unmanaged, IPointwise where T : unmanaged, ISimd<T>;

    private static void Kernel<TOp, T>(Arguments<TOp, T> a) where TOp : unmanaged, IPointwise where T : unmanaged, ISimd<T>
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Y.Length)
            return;
        var first = a.A[i];
        var value = a.Op.Apply(first, TOp.Inputs == 1 ? first : a.B[i]);
        a.Y[i] = a.Accumulate != 0 ? a.Y[i] + value : value;
    }

    /// <summary>An output may be the same view as an input, but must not lie across it.</summary>
    public static void CheckAlias(string operation, string input, TensorView a, string output, TensorView y)
    {
        if (!(ReferenceEquals(a.Buffer, y.Buffer) && a.Offset == y.Offset))
            Check.Apart(operation, input, a, output, y);
    }

    private readonly struct Range<TOp>(float* a, float* b, float* y, long length, bool accumulate, TOp op) : IVectorRange
        where TOp : unmanaged, IPointwise
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            long from = (long)start * Block, to = Math.Min(length, (long)end * Block);
            long vectors = from + (to - from) / TVector.Count * TVector.Count;
            Loop<TVector>(from, vectors);
            Loop<F32x1>(vectors, to);
        }

        [MethodImpl(HotLoop.Options)]
        private void Loop<TVector>(long from, long to) where TVector : unmanaged, ISimd<TVector>
        {
            float* first = a, second = b, result = y;
            bool add = accumulate;
            var formula = op;
            for (long i = from; i < to; i += TVector.Count)
            {
                var u = TVector.Load(first + i);
                var value = formula.Apply(u, TOp.Inputs == 1 ? u : TVector.Load(second + i));
                if (add)
                    value += TVector.Load(result + i);
                TVector.Store(value, result + i);
            }
        }
    }
}
