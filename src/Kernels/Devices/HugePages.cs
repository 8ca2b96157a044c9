using System.Runtime.InteropServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Asks Linux to back large blocks by pages of 2 MiB: one entry of the address caches then covers what else takes 512, and a pass over an
/// activation no longer waits for page walks. Only advice; without it everything works alike.
/// </summary>
internal static unsafe partial class HugePages
{
    public const int Size = 2 << 20;

    private const int MadviseHugePage = 14;

    /// <summary>Whether a block of so many bytes holds pages enough to care.</summary>
    public static bool Suit(long bytes) => OperatingSystem.IsLinux() && bytes >= 2 * Size;

    /// <param name="block">A multiple of <see cref="Size"/>.</param>
    public static void Advise(void* block, long bytes) => _ = Madvise(block, (nuint)bytes, MadviseHugePage);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* address, nuint length, int advice);
}
