using System.Runtime.CompilerServices;

namespace CudaKernels.Kernels.Simd;

/// <summary>How the method that holds a kernel's inner loop is compiled.</summary>
internal static class HotLoop
{
    /// <summary>
    /// At once with all optimisations, and on its own. The compiler inlines only so much per method, in proportion to that method's own size: a loop that
    /// is taken into a small caller, such as <see cref="Devices.ThreadTeam"/>'s, spends the caller's share, and the vector operations in it stay calls.
    /// </summary>
    public const MethodImplOptions Options = MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining;
}
