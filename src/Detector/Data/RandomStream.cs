using CudaKernels.Kernels;

namespace CudaKernels.Detection;

/// <summary>
/// The draws 0, 1, 2, ... of one sample, taken one after another. Every sample of every epoch has its own stream, so what one sample
/// draws never changes what another gets. Not for use by several threads at once.
/// </summary>
internal sealed class RandomStream(ulong seed, ulong epoch, ulong sample)
{
    private readonly CounterRandom random = new(seed, epoch, sample);
    private ulong draw;

    /// <summary>Uniform in [0, 1).</summary>
    public double Uniform() => random.At(draw++).Uniform();

    /// <summary>Uniform in [low, high).</summary>
    public double Uniform(double low, double high) => random.At(draw++).Uniform(low, high);

    /// <summary>Uniform integer in [0, count).</summary>
    public int Int(int count) => random.At(draw++).Int(count);

    /// <summary>Uniform integer in [low, high], both ends included.</summary>
    public int Int(int low, int high) => low + Int(high - low + 1);

    /// <summary>True with the given probability.</summary>
    public bool Chance(double probability) => Uniform() < probability;

    /// <summary>Standard normal.</summary>
    public double Normal() => random.At(draw++).Normal();
}
