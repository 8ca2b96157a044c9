using System.Text.RegularExpressions;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels;

/// <summary>What has to change in the PTX the compiler writes before a driver may see it.</summary>
internal static partial class PtxPatch
{
    /// <summary>The PTX version of all texts: knows sm_90, and drivers from CUDA 12.0 on read it.</summary>
    public static readonly CudaInstructionSet InstructionSet = new(8, 0);

    /// <summary>What texts are written for, the newest last; a newer device takes the newest.</summary>
    public static readonly CudaArchitecture[] Architectures = [new(8, 0), new(9, 0)];

    public static string NameOf(CudaArchitecture architecture) => $"sm_{architecture.Major}{architecture.Minor}";

    /// <summary>
    /// The compiler writes the lowest target that will do; the text gets the newest its device can run, with that one's instructions.
    /// Guarded branches lose ".uni": it promises that all threads go one way, which a guard breaks. Shared memory is aligned to
    /// 16 bytes, as vector accesses need; the compiler gives arrays of floats only 4.
    /// </summary>
    public static string Apply(string text, CudaArchitecture device)
    {
        text = SharedAlignment().Replace(UniformTable().Replace(UniformBranch().Replace(text, "$1"), "brx.idx"), ".shared .align 16");
        return device < Architectures[0] ? text : Target().Replace(text, $".target {NameOf(Architectures.Last(a => a <= device))}");
    }

    [GeneratedRegex(@"(@!?%p\d+ bra)\.uni")]
    private static partial Regex UniformBranch();

    [GeneratedRegex(@"\.target sm_\d+")]
    private static partial Regex Target();

    [GeneratedRegex(@"brx\.idx\.uni")]
    private static partial Regex UniformTable();

    [GeneratedRegex(@"\.shared \.align [1248]\b")]
    private static partial Regex SharedAlignment();
}
