using System.Diagnostics;

namespace CudaKernels.Kernels.Devices;

/// <summary>A stretch of host work, from construction to disposal. What kernels and stretches inside it take is theirs, not its own.</summary>
/// <param name="profiler">Null costs nothing.</param>
/// <param name="name">Names its row.</param>
internal readonly struct HostWork(Profiler? profiler, string name) : IDisposable
{
    private readonly long start = profiler is null ? 0 : Stopwatch.GetTimestamp();
    private readonly double before = profiler?.AccountedSeconds ?? 0;

    public void Dispose() =>
        profiler?.AddHost(name, Stopwatch.GetElapsedTime(start).TotalSeconds - (profiler.AccountedSeconds - before));
}
