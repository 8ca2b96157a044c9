using System.Diagnostics;

namespace CudaKernels.Kernels.Devices;

/// <summary>A stretch of host work, from construction to disposal. What kernels and stretches inside it take is theirs, not its own.</summary>
/// <param name="device">The device whose host works; without a profiler it costs next to nothing.</param>
/// <param name="name">Names its row.</param>
internal readonly struct HostWork(Device device, string name) : IDisposable
{
    private readonly Device.Occupation occupation = device.Occupy();
    private readonly Profiler? profiler = device.Profiler;
    private readonly long start = device.Profiler is null ? 0 : Stopwatch.GetTimestamp();
    private readonly double before = device.Profiler?.AccountedSeconds ?? 0;

    public void Dispose()
    {
        profiler?.AddHost(name, Stopwatch.GetElapsedTime(start).TotalSeconds - (profiler.AccountedSeconds - before));
        occupation.Dispose();
    }
}
