using System.Text.RegularExpressions;

namespace CudaKernels.Kernels;

/// <summary>
/// Lets an OpenCL 1.2 processor target take the compiler's OpenCL source. It has no generic address space and needs none: its memory
/// is flat, so casts go through an integer. Barriers must fence shared memory as well as global memory.
/// </summary>
internal static partial class OpenClPatch
{
    public static string Apply(string text)
    {
        text = AtomicCast().Replace(text, "(__global $1*)(ulong)$2");
        text = text.Replace("__generic", "__global", StringComparison.Ordinal);
        text = PointerCast().Replace(text, "($1)(ulong)$2");
        text = text.Replace("work_group_barrier ( CLK_GLOBAL_MEM_FENCE )", "barrier ( CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE )", StringComparison.Ordinal);
        return text;
    }

    [GeneratedRegex(@"\((atomic_\w+)\*\)(var\d+)")]
    private static partial Regex AtomicCast();

    [GeneratedRegex(@"\((type_\d+)\)\s*(view_\d+|var\d+)\b")]
    private static partial Regex PointerCast();
}
