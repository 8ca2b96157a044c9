using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Cli;

/// <summary>
/// Training steps that recompute beside steps that keep everything, taking turns: on a machine that others use, only neighbours in time can be compared.
/// </summary>
internal sealed class RecomputeBench : IDisposable
{
    private readonly MemoryWork work;
    private readonly Device device;
    private readonly ParameterSet parameters;
    private readonly Sgd optimizer;

    public RecomputeBench(MemoryWork work, Device device)
    {
        (this.work, this.device) = (work, device);
        parameters = new ParameterSet(work.Model, device, seed: 1);
        optimizer = new Sgd(parameters, momentum: 0.9f);
    }

    /// <summary>Of one step, by the pool: weights, gradients and optimiser state, then what comes on top.</summary>
    public (long Fixed, long Peak) Bytes(IReadOnlyList<int> segments)
    {
        long before = device.Pool.LiveBytes;
        device.Pool.ResetPeak();
        Step(segments);
        return (before, device.Pool.PeakBytes - before);
    }

    /// <summary>Time of a step with these segments over that of a step without: the median of pairs.</summary>
    public (double Ratio, double StoredMilliseconds) Time(IReadOnlyList<int> segments, int pairs)
    {
        var times = new List<(double Ratio, double Stored)>();
        for (int i = 0; i < pairs; i++)
        {
            double first = Milliseconds(i % 2 == 0 ? [] : segments), second = Milliseconds(i % 2 == 0 ? segments : []);
            var (stored, recomputed) = i % 2 == 0 ? (first, second) : (second, first);
            times.Add((recomputed / stored, stored));
        }
        return (times.Select(t => t.Ratio).Order().ElementAt(pairs / 2), times.Min(t => t.Stored));

        double Milliseconds(IReadOnlyList<int> which) => DeviceTimer.Milliseconds(device, () => Step(which));
    }

    public void Dispose()
    {
        optimizer.Dispose();
        parameters.Dispose();
    }

    private void Step(IReadOnlyList<int> segments)
    {
        work.Backbone.Segments = segments;
        parameters.BeginGradients();
        using (var scope = new StepScope(device, record: true))
            work.Differentiate(scope);
        parameters.CompleteGradients();
        optimizer.Step(0.001f);
    }
}
