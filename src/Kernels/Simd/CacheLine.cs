using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace CudaKernels.Kernels.Simd;

/// <summary>
/// The line of the caches, and how to ask for one some time before it is read. The address may be any, also one that cannot be read. For lines the processor does not foresee:
/// runs shorter than it takes to recognise one, or pages apart. Nothing happens on processors without the instruction.
/// </summary>
internal static unsafe class CacheLine
{
    public const int Floats = 16;

    /// <summary>Into the first-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FetchNear(void* line)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(line);
    }

    /// <summary>Into the second-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FetchMiddle(void* line)
    {
        if (Sse.IsSupported)
            Sse.Prefetch1(line);
    }
}
