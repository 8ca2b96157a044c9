using System.Collections.Concurrent;
using System.Reflection;
using CudaKernels.Kernels;

namespace CudaKernels.Tests;

/// <summary>What one instruction does to the running threads of a warp.</summary>
internal delegate void PtxStep(PtxWarp warp);

/// <summary>
/// A kernel ready to run: one step for each line. Registers, constants and the numbers of threads and groups all live in rows of
/// <see cref="PtxWarp.Lanes"/> cells, so that an operand is a row whatever it was in the text.
/// </summary>
internal sealed record PtxProgram(string Name, IReadOnlyList<PtxLine> Lines, PtxStep[] Steps, int Entry)
{
    private static readonly ConcurrentDictionary<MethodInfo, Lazy<PtxProgram>> Compiled = [];
    private static readonly Lock Compiling = new();
    private static readonly OfflineCompiler Compiler = new("sm_90");

    /// <summary>Cells of all rows.</summary>
    public required int Cells { get; init; }

    /// <summary>Rows that hold a number from the text.</summary>
    public required IReadOnlyDictionary<int, ulong> Constants { get; init; }

    /// <summary>Rows that hold a number of the thread or of its group, "%tid.x".</summary>
    public required IReadOnlyDictionary<int, string> Specials { get; init; }

    public required int SharedBytes { get; init; }

    public required int ParameterBytes { get; init; }

    /// <summary>Bytes of the narrowest access to memory: races are told apart no finer than that.</summary>
    public required int Grain { get; init; }

    /// <summary>Compiled for the newest architecture, once in a process.</summary>
    public static PtxProgram Of(MethodInfo kernel) => Compiled.GetOrAdd(kernel, method => new(() => new PtxDecoder(KernelLoader.NameOf(method), Text(method)).Decode())).Value;

    private static string Text(MethodInfo kernel)
    {
        lock (Compiling)
            return Compiler.Compile(kernel);
    }
}
