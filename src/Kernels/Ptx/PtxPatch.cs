using System.Text.RegularExpressions;

namespace CudaKernels.Kernels;

/// <summary>What has to change in the PTX the compiler writes before a driver may see it.</summary>
internal static partial class PtxPatch
{
    /// <summary>
    /// Guarded branches lose ".uni": it promises that all threads go one way, which a guard breaks. Shared memory is aligned to
    /// 16 bytes, as vector accesses need; the compiler gives arrays of floats only 4.
    /// </summary>
    public static string Apply(string text) =>
        SharedAlignment().Replace(UniformTable().Replace(UniformBranch().Replace(text, "$1"), "brx.idx"), ".shared .align 16");

    [GeneratedRegex(@"(@!?%p\d+ bra)\.uni")]
    private static partial Regex UniformBranch();

    [GeneratedRegex(@"brx\.idx\.uni")]
    private static partial Regex UniformTable();

    [GeneratedRegex(@"\.shared \.align [1248]\b")]
    private static partial Regex SharedAlignment();
}
