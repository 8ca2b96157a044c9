using System.Runtime.CompilerServices;

namespace CudaKernels.Kernels.Simd;

/// <summary>
/// Stores past the caches for results of which little would still be there when they are read: an ordinary store first fetches the line it is
/// about to overwrite, and drives out what the pass reads. A processor without such stores makes ordinary ones.
/// </summary>
internal static unsafe class PastCache
{
    private const long WorthwhileBytes = 4 << 20;

    public static bool Suits(TensorView result) => Suits(result.Bytes);

    public static bool Suits(long bytes) => bytes >= WorthwhileBytes;

    /// <summary>Whether stores of the vector may start there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Aligned<TVector>(float* to) where TVector : unmanaged, ISimd<TVector> => (nint)to % (TVector.Count * sizeof(float)) == 0;

    /// <summary>A store, past the caches or an ordinary one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TVector>(TVector value, float* to, bool past) where TVector : unmanaged, ISimd<TVector>
    {
        if (past)
            TVector.Stream(value, to);
        else
            TVector.Store(value, to);
    }
}
