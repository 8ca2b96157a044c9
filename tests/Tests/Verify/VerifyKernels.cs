using CudaKernels.Kernels;
using ILGPU;

namespace CudaKernels.Tests;

/// <summary>Kernels that only the ladder needs: the simplest one, one that does nothing and one that does nothing but move memory.</summary>
internal static class VerifyKernels
{
    internal readonly record struct AddArguments(ArrayView<float> A, ArrayView<float> B, ArrayView<float> Y);

    internal readonly record struct CopyArguments(ArrayView<F4> X, ArrayView<F4> Y);

    public static void Add(AddArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Y.Length)
            a.Y[i] = a.A[i] + a.B[i];
    }

    public static void Empty(CopyArguments a)
    {
    }

    /// <summary>128 bits a thread.</summary>
    public static void Copy(CopyArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Y.Length)
            a.Y[i] = a.X[i];
    }
}
