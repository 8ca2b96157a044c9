using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Cli;

/// <summary>
/// The work of a case. On a GPU as many sets of its memory take turns as make twice the size of the second-level cache, so that a repetition
/// finds nothing of its own there; at most <see cref="Most"/>, and <see cref="Cached"/> says where that was not enough.
/// </summary>
internal sealed class RotatingInputs : IDisposable
{
    private const int Most = 8;
    private const long AssumedCache = 32 << 20; // of a device that does not tell

    private readonly List<BenchTensors> tensors = [];

    public RotatingInputs(BenchCase work, Device device)
    {
        try
        {
            var sets = new List<Action>();
            long before = device.Pool.LiveBytes;
            if (Add() is not { } first)
                return;
            device.Pool.ResetPeak();
            Cost = CostOf(device, first);
            PeakBytes = device.Pool.PeakBytes - before;
            Sets = 1;
            Run = first;
            if (device is not GpuDevice gpu)
                return;
            long cache = (gpu.Accelerator as CudaAccelerator)?.L2CacheSize ?? AssumedCache, bytes = Math.Max(1, PeakBytes);
            Sets = (int)Math.Clamp((2 * cache + bytes - 1) / bytes, 1, Most);
            Cached = Sets * bytes < 2 * cache;
            while (sets.Count < Sets)
                Add();
            int turn = 0;
            Run = () => sets[turn++ % sets.Count]();

            Action? Add()
            {
                tensors.Add(new(device, tensors.FirstOrDefault()));
                var run = BenchCommand.Prepare(work, tensors[^1]);
                if (run is not null)
                    sets.Add(run);
                return run;
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>One repetition, or null where there is no such operation.</summary>
    public Action? Run { get; }

    /// <summary>Of one repetition: the sum over its kernels.</summary>
    public Cost Cost { get; }

    /// <summary>The most device memory that one set and a repetition held at a time: inputs, weights, optimiser state, activations, scratch.</summary>
    public long PeakBytes { get; }

    public int Sets { get; }

    /// <summary>Whether the inputs may have come from the cache all the same.</summary>
    public bool Cached { get; }

    public void Dispose()
    {
        foreach (var set in tensors)
            set.Dispose();
    }

    private static Cost CostOf(Device device, Action run)
    {
        device.Profiler = new Profiler();
        try
        {
            run();
            return new(device.Profiler.Rows.Sum(r => r.Flops), device.Profiler.Rows.Sum(r => r.Bytes));
        }
        finally
        {
            device.Profiler = null;
        }
    }
}
