using System.Diagnostics;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>How long work takes on a device: by its own events on CUDA, else by the host's clock.</summary>
internal static class DeviceTimer
{
    /// <summary>One repetition, alone on the device.</summary>
    public static double Milliseconds(Device device, Action work)
    {
        device.Synchronize();
        if (device is GpuDevice gpu)
            return gpu.Time(work, 1)[0];
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    /// <summary>Sorted milliseconds of at least five repetitions, and more for about so many seconds, after three that are not counted.</summary>
    public static List<double> Measure(Device device, Action work, double seconds)
    {
        for (int i = 0; i < 3; i++)
            work();
        var times = new List<double>();
        long start = Stopwatch.GetTimestamp();
        while (times.Count < 5 || (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds && times.Count < 200))
            times.Add(Milliseconds(device, work));
        times.Sort();
        return times;
    }
}
