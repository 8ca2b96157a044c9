using System.Diagnostics;
using System.Globalization;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Ranks;

/// <summary>How long an all-reduce takes, by size; what rank 0 measured of many in a row, so the slowest of the ranks counts.</summary>
internal static class Speed
{
    private const double SecondsPerSize = 0.5;

    public static IEnumerable<string> Measure(ICollective group, Device device)
    {
        for (int bytes = 1 << 10; bytes <= 64 << 20; bytes *= 4)
        {
            var view = device.Rent(new Shape(bytes / sizeof(float)), DType.F32, "ranks");
            device.Fill(view, 0);
            double once = Time(5);
            int calls = Calls(once);
            double seconds = Time(calls);
            device.Return(view);
            // Each rank sends and receives 2 (R - 1) / R of the bytes.
            yield return string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024,8} KiB {calls,7} calls {seconds * 1e6,10:F1} us {2.0 * (group.Size - 1) / group.Size * bytes / seconds / 1e9,8:F2} GB/s");

            double Time(int calls)
            {
                group.Barrier();
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < calls; i++)
                    group.AllReduce(view, Reduction.Sum);
                return Stopwatch.GetElapsedTime(start).TotalSeconds / calls;
            }
        }

        // Rank 0 decides for all.
        int Calls(double once)
        {
            var view = device.Rent(new Shape(1), DType.I32, "ranks");
            device.Upload<int>([Math.Clamp((int)(SecondsPerSize / once), 3, 20_000)], view);
            group.Broadcast(view, root: 0);
            int[] calls = new int[1];
            device.Download<int>(view, calls);
            device.Return(view);
            return calls[0];
        }
    }
}
