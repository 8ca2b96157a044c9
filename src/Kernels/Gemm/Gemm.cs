using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// C[M,N] (+)= op(A)[M,K] · op(B)[K,N], row-major. TransposeA: A is stored [K,M]; TransposeB: B is stored [N,K]. A, B and C may
/// have any shape of the right length, so an activation (N,H,W,C) goes in as its rows.
/// </summary>
internal readonly record struct Gemm(
    TensorView A, TensorView B, TensorView C, int M, int N, int K, bool TransposeA = false, bool TransposeB = false, bool Accumulate = false) : IKernel, ISimdBody
{
    public Cost Cost => new(2.0 * M * N * K, A.Bytes + B.Bytes + C.Bytes * (Accumulate ? 2 : 1));

    public void Validate()
    {
        Length("a", A, M, K);
        Length("b", B, K, N);
        Length("c", C, M, N);
        Check.Apart(nameof(Gemm), "a", A, "c", C);
        Check.Apart(nameof(Gemm), "b", B, "c", C);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Run(GpuDevice device)
    {
        int lengthA = TransposeA ? M : K, lengthB = TransposeB ? K : N;
        using var sides = new ProductSides(device, A, lengthA, B, lengthB, 1, nameof(Gemm));
        MatrixOperand a = new(sides.A, lengthA), b = new(sides.B, lengthB);
        if (TransposeA)
            MultiplyRight(device, new Transposed<MatrixOperand>(a), b, sides.Access);
        else
            MultiplyRight(device, a, b, sides.Access);
    }

    private void MultiplyRight<TA>(GpuDevice device, TA a, MatrixOperand b, ProductAccess access) where TA : struct, IOperand
    {
        if (TransposeB)
            Multiply(device, a, b, access);
        else
            Multiply(device, a, new Transposed<MatrixOperand>(b), access);
    }

    private void Multiply<TA, TB>(GpuDevice device, TA a, TB b, ProductAccess access) where TA : struct, IOperand where TB : struct, IOperand =>
        GpuProduct.Run(device, a, b, new(M, N, K), ProductTarget.Matrix(device.F32(C), N, 0) with { Wide = ProductTarget.IsWide(N, C), Accumulate = Accumulate ? 1 : 0 },
            access, nameof(Gemm));

    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int zeroTap = 0;
        ImplicitGemm.Run<TVector>(device, Gather.Matrix(M, A.F32, TransposeA ? 1 : K, K, TransposeA ? M : 1,
            B.F32, TransposeB ? 1 : N, TransposeB ? K : 1, C.F32, N, &zeroTap) with
        { Accumulate = Accumulate }, nameof(Gemm));
    }

    private static void Length(string argument, TensorView view, long rows, long columns)
    {
        if (view.IsNone || view.Type != DType.F32 || view.Length != rows * columns)
            throw new KernelException($"{nameof(Gemm)}: {argument} expects {rows}x{columns} = {rows * columns} f32 elements but is {view}");
    }
}
