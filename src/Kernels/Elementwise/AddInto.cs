using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>y += x, element by element; shapes equal. Vectorised over the flat array, threads over blocks.</summary>
internal readonly record struct AddInto(TensorView X, TensorView Y) : IKernel
{
    public Cost Cost => new(Y.Length, X.Bytes + 2.0 * Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(AddInto), nameof(X), X, Y.Shape);
        Check.Apart(nameof(AddInto), nameof(X), X, nameof(Y), Y);
    }

    public void Run(CpuDevice device) => device.Dispatch(new Body(this));

    private readonly struct Body(AddInto op) : ISimdBody
    {
        public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector> =>
            device.Team.For(checked((int)((op.Y.Length + Range<TVector>.Block - 1) / Range<TVector>.Block)),
                new Range<TVector>(op.X.F32, op.Y.F32, op.Y.Length), grain: 4);
    }

    private readonly unsafe struct Range<TVector>(float* x, float* y, long length) : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public const int Block = 4096;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Invoke(int start, int end, int worker)
        {
            long i = (long)start * Block, last = Math.Min((long)end * Block, length);
            for (; i + TVector.Count <= last; i += TVector.Count)
                TVector.Store(TVector.Load(y + i) + TVector.Load(x + i), y + i);
            for (; i < last; i++)
                y[i] += x[i];
        }
    }
}
