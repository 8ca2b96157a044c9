using CudaKernels.Cli;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Benchmarks;

/// <summary>Costs of cases and the roofline of this process, each measured at the first question.</summary>
internal sealed class MeasuredCosts
{
    private readonly Dictionary<string, Cost> costs = [];
    private readonly Dictionary<int, Roofline> roofs = [];

    public Cost Of(string name)
    {
        if (costs.TryGetValue(name, out var cost))
            return cost;
        using var device = new CpuDevice();
        using var inputs = new RotatingInputs(CaseBenchmarks.Find(name), device);
        return costs[name] = inputs.Cost;
    }

    public Roofline Roof(int threads)
    {
        if (roofs.TryGetValue(threads, out var roof))
            return roof;
        using var device = new CpuDevice(threads);
        return roofs[threads] = new Roofline(device);
    }
}
