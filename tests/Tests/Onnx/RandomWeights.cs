using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Tests;

/// <summary>A model in inference mode none of whose numbers is what it is at birth: zero offsets and fresh statistics would hide mistakes.</summary>
internal static class RandomWeights
{
    public static ParameterSet Of(Module module, CpuDevice device)
    {
        var set = new ParameterSet(module, device, seed: 1);
        var random = new CounterRandom(2);
        ulong draw = 0;
        foreach (ref float value in set.Values.AsFloats())
            value += (float)(0.05 * random.At(draw++).Normal());
        foreach (ref float value in set.Buffers.AsFloats())
            value += (float)(0.5 * random.At(draw++).Uniform());
        module.Train(false);
        return set;
    }
}
