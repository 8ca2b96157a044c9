using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>y = 1 / (1 + e^-x). For large -x the exponential is infinite and y is 0, as it should be. y may be x.</summary>
internal readonly record struct SigmoidForward(TensorView X, TensorView Y) : IKernel
{
    public Cost Cost => new(Y.Length * 20.0, X.Bytes + Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(SigmoidForward), "y", Y, X.Shape);
        Check.Shape(nameof(SigmoidForward), "x", X, Y.Shape);
        Pointwise.CheckAlias(nameof(SigmoidForward), "x", X, "y", Y);
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula());

    public void Run(GpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula());

    internal readonly struct Formula : IPointwise
    {
        public static int Inputs => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector x, TVector unused) where TVector : unmanaged, ISimd<TVector>
        {
            var one = TVector.Create(1);
            return one / (one + TVector.Exp(-x));
        }
    }
}

/// <summary>gradX (+)= gradY · y · (1 - y). gradX may be gradY.</summary>
internal readonly record struct SigmoidBackward(TensorView Y, TensorView GradY, TensorView GradX, bool Accumulate) : IKernel
{
    public Cost Cost => new(Y.Length * 3.0, Y.Bytes + GradY.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate()
    {
        Check.Shape(nameof(SigmoidBackward), "y", Y, GradX.Shape);
        Check.Shape(nameof(SigmoidBackward), "gradY", GradY, GradX.Shape);
        Check.Shape(nameof(SigmoidBackward), "gradX", GradX, Y.Shape);
        Pointwise.CheckAlias(nameof(SigmoidBackward), "y", Y, "gradX", GradX);
        Pointwise.CheckAlias(nameof(SigmoidBackward), "gradY", GradY, "gradX", GradX);
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, Y, GradY, GradX, Accumulate, new Formula());

    public void Run(GpuDevice device) => Pointwise.Run(device, Y, GradY, GradX, Accumulate, new Formula());

    internal readonly struct Formula : IPointwise
    {
        public static int Inputs => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector y, TVector gradY) where TVector : unmanaged, ISimd<TVector> =>
            gradY * y * (TVector.Create(1) - y);
    }
}
