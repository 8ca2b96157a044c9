using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// C[M,N] (+)= op(A)[M,K] · op(B)[K,N], row-major. TransposeA: A is stored [K,M]; TransposeB: B is stored [N,K]. A, B and C may
/// have any shape of the right length, so an activation (N,H,W,C) goes in as its rows.
/// </summary>
internal readonly record struct Gemm(
    TensorView A, TensorView B, TensorView C, int M, int N, int K, bool TransposeA = false, bool TransposeB = false, bool Accumulate = false) : IKernel
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

    public unsafe void Run(CpuDevice device)
    {
        float* a = A.F32, b = B.F32, c = C.F32;
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
            {
                float sum = Accumulate ? c[(long)i * N + j] : 0;
                for (int k = 0; k < K; k++)
                    sum += a[TransposeA ? (long)k * M + i : (long)i * K + k] * b[TransposeB ? (long)j * K + k : (long)k * N + j];
                c[(long)i * N + j] = sum;
            }
    }

    private static void Length(string argument, TensorView view, long rows, long columns)
    {
        if (view.IsNone || view.Type != DType.F32 || view.Length != rows * columns)
            throw new KernelException($"{nameof(Gemm)}: {argument} expects {rows}x{columns} = {rows * columns} f32 elements but is {view}");
    }
}
