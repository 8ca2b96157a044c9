using System.Numerics;

namespace CudaKernels.Kernels;

/// <summary>
/// Counter-based random numbers: the value is a pure function of (seed, epoch, sample, draw), so any thread may ask for any
/// draw in any order and the answer never changes. Nothing is advanced and nothing is shared.
/// </summary>
/// <remarks>
/// key = M(M(M(seed + g) + M(epoch ^ e)) + M(sample ^ s)), bits = M(key + (draw + 1) g), where g = 0x9E3779B97F4A7C15, e and s are
/// two other odd constants (without them seed = epoch would cancel) and M is the
/// 64-bit finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
/// For a fixed key the draws 0, 1, 2, ... are therefore exactly a SplitMix64 sequence started at the key.
/// Use outside data loading: let <c>epoch</c> and <c>sample</c> name the purpose (for example a parameter) and <c>draw</c> the element.
/// </remarks>
internal readonly struct CounterRandom
{
    private const ulong Golden = 0x9E3779B97F4A7C15;
    private const ulong EpochSalt = 0xD1342543DE82EF95;
    private const ulong SampleSalt = 0xA0761D6478BD642F;
    private const double Unit = 1.0 / (1UL << 53);

    private readonly ulong key;

    /// <summary>Which draw of its (seed, epoch, sample) this is.</summary>
    public ulong Draw { get; private init; }

    public CounterRandom(ulong seed, ulong epoch = 0, ulong sample = 0, ulong draw = 0)
    {
        key = Mix(seed + Golden);
        key = Mix(key + Mix(epoch ^ EpochSalt));
        key = Mix(key + Mix(sample ^ SampleSalt));
        Draw = draw;
    }

    /// <summary>The same seed, epoch and sample at another draw; much cheaper than the constructor.</summary>
    public CounterRandom At(ulong draw) => this with { Draw = draw };

    /// <summary>64 random bits.</summary>
    public ulong Bits => Mix(key + (Draw + 1) * Golden);

    /// <summary>Uniform in [0, 1), 53 bits.</summary>
    public double Uniform() => (Bits >> 11) * Unit;

    /// <summary>Uniform in [low, high).</summary>
    public double Uniform(double low, double high) => low + (high - low) * Uniform();

    /// <summary>Uniform integer in [0, count).</summary>
    public int Int(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        return (int)Math.BigMul(Bits, (ulong)count, out _);
    }

    /// <summary>Standard normal by Box and Muller; the second uniform is drawn from the same counter.</summary>
    public double Normal()
    {
        var bits = Bits;
        var radius = Math.Sqrt(-2 * Math.Log(((bits >> 11) + 1) * Unit));
        var angle = 2 * Math.PI * ((Mix(BitOperations.RotateLeft(bits, 32) ^ Golden) >> 11) * Unit);
        return radius * Math.Cos(angle);
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
