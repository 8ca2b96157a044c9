using CudaKernels.Kernels;

namespace CudaKernels.Detection;

/// <summary>A brightness pattern over the plane with values from -amplitude to +amplitude: plain, stripes, checks, dots or cloudy noise.</summary>
internal sealed class SyntheticTexture
{
    private readonly int kind;
    private readonly double amplitude;
    private readonly double period;
    private readonly double cosine;
    private readonly double sine;
    private readonly CounterRandom lattice;

    public SyntheticTexture(RandomStream random, double amplitude)
    {
        this.amplitude = amplitude;
        kind = random.Int(5);
        period = random.Uniform(5, 16);
        (sine, cosine) = Math.SinCos(random.Uniform(0, Math.PI));
        lattice = new CounterRandom((ulong)random.Int(int.MaxValue));
    }

    /// <summary>The change of brightness at a pixel.</summary>
    public double this[int x, int y]
    {
        get
        {
            var u = (x * cosine + y * sine) / period;
            var v = (y * cosine - x * sine) / period;
            return amplitude * kind switch
            {
                0 => 0,
                1 => Math.Sin(2 * Math.PI * u),
                2 => Math.Sin(2 * Math.PI * u) * Math.Sin(2 * Math.PI * v) > 0 ? 1 : -1,
                3 => Math.Cos(2 * Math.PI * u) + Math.Cos(2 * Math.PI * v) > 1 ? 1 : -0.3,
                _ => 2 * Noise(u, v) - 1,
            };
        }
    }

    /// Value noise: a random number at every lattice point, smoothly interpolated between them.
    private double Noise(double u, double v)
    {
        var (i, j) = ((int)Math.Floor(u), (int)Math.Floor(v));
        var (a, b) = (Smooth(u - i), Smooth(v - j));
        var top = At(i, j) + a * (At(i + 1, j) - At(i, j));
        var bottom = At(i, j + 1) + a * (At(i + 1, j + 1) - At(i, j + 1));
        return top + b * (bottom - top);

        double At(int column, int row) => lattice.At(((ulong)(uint)column << 32) | (uint)row).Uniform();
        static double Smooth(double t) => t * t * (3 - 2 * t);
    }
}
