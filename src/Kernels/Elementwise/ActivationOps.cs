using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>y = act(x), for an activation that no producer could fuse. y may be x.</summary>
internal readonly record struct ActivationForward(TensorView X, TensorView Y, Activation Activation) : IKernel
{
    public Cost Cost => new(Y.Length, X.Bytes + Y.Bytes);

    public void Validate()
    {
        Check.Shape(nameof(ActivationForward), "y", Y, X.Shape);
        Check.Shape(nameof(ActivationForward), "x", X, Y.Shape);
        Pointwise.CheckAlias(nameof(ActivationForward), "x", X, "y", Y);
        Activation.Validate(nameof(ActivationForward));
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula(Activation.Factor));

    public void Run(GpuDevice device) => Pointwise.Run(device, X, X, Y, false, new Formula(Activation.Factor));

    internal readonly struct Formula(float factor) : IPointwise
    {
        public static int Inputs => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector x, TVector unused) where TVector : unmanaged, ISimd<TVector> =>
            Activation.Apply(x, TVector.Create(factor));
    }
}

/// <summary>gradX (+)= gradY · act'(x), the derivative read from the sign of the output. gradX may be gradY.</summary>
internal readonly record struct ActivationBackward(TensorView Y, TensorView GradY, TensorView GradX, Activation Activation, bool Accumulate)
    : IKernel
{
    public Cost Cost => new(Y.Length, Y.Bytes + GradY.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate()
    {
        Check.Shape(nameof(ActivationBackward), "y", Y, GradX.Shape);
        Check.Shape(nameof(ActivationBackward), "gradY", GradY, GradX.Shape);
        Check.Shape(nameof(ActivationBackward), "gradX", GradX, Y.Shape);
        Pointwise.CheckAlias(nameof(ActivationBackward), "y", Y, "gradX", GradX);
        Pointwise.CheckAlias(nameof(ActivationBackward), "gradY", GradY, "gradX", GradX);
        Activation.Validate(nameof(ActivationBackward));
    }

    public void Run(CpuDevice device) => Pointwise.Run(device, Y, GradY, GradX, Accumulate, new Formula(Activation.Factor));

    public void Run(GpuDevice device) => Pointwise.Run(device, Y, GradY, GradX, Accumulate, new Formula(Activation.Factor));

    internal readonly struct Formula(float factor) : IPointwise
    {
        public static int Inputs => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TVector Apply<TVector>(TVector y, TVector gradY) where TVector : unmanaged, ISimd<TVector> =>
            Activation.Gradient(y, gradY, TVector.Create(factor));
    }
}
