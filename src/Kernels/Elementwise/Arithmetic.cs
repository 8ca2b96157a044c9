using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>y = a + b, equal shapes. y may be a or b.</summary>
internal readonly record struct AddForward(TensorView A, TensorView B, TensorView Y) : IKernel
{
    public Cost Cost => new(Y.Length, A.Bytes + B.Bytes + Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(AddForward), "a", A, Y.Shape);
        Check.Shape(nameof(AddForward), "b", B, A.Shape);
        Check.Shape(nameof(AddForward), "y", Y, A.Shape);
        Pointwise.CheckAlias(nameof(AddForward), "a", A, "y", Y);
        Pointwise.CheckAlias(nameof(AddForward), "b", B, "y", Y);
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, A, B, Y, false, new Formula());

    public void Run(GpuDevice device) => Pointwise.Run(device, A, B, Y, false, new Formula());

    internal readonly struct Formula : IPointwise
    {
        public static int Inputs => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector a, TVector b) where TVector : unmanaged, ISimd<TVector> => a + b;
    }
}

/// <summary>y += x, equal shapes.</summary>
internal readonly record struct AddInto(TensorView X, TensorView Y) : IKernel
{
    public Cost Cost => new(Y.Length, X.Bytes + 2 * Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(AddInto), "x", X, Y.Shape);
        Check.Shape(nameof(AddInto), "y", Y, X.Shape);
        Pointwise.CheckAlias(nameof(AddInto), "x", X, "y", Y);
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, X, X, Y, true, new Formula());

    public void Run(GpuDevice device) => Pointwise.Run(device, X, X, Y, true, new Formula());

    internal readonly struct Formula : IPointwise
    {
        public static int Inputs => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector x, TVector unused) where TVector : unmanaged, ISimd<TVector> => x;
    }
}

/// <summary>y = factor · x. y may be x.</summary>
internal readonly record struct Scale(TensorView X, TensorView Y, float Factor) : IKernel
{
    public Cost Cost => new(Y.Length, X.Bytes + Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(Scale), "x", X, Y.Shape);
        Check.Shape(nameof(Scale), "y", Y, X.Shape);
        Pointwise.CheckAlias(nameof(Scale), "x", X, "y", Y);
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula(Factor));

    public void Run(GpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula(Factor));

    internal readonly struct Formula(float factor) : IPointwise
    {
        public static int Inputs => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector x, TVector unused) where TVector : unmanaged, ISimd<TVector> => TVector.Create(factor) * x;
    }
}
