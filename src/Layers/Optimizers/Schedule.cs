namespace CudaKernels.Layers;

/// <summary>Learning rate of iteration 0, 1, ...: base · decay(iteration) · warm-up(iteration). A pure function, so a resumed run needs no state.</summary>
internal sealed record Schedule(double BaseRate, RateDecay Decay, Warmup Warmup = default)
{
    public float Rate(long iteration) => (float)Exact(iteration);

    public double Exact(long iteration) => BaseRate * Decay.Factor(iteration) * Warmup.Factor(iteration);
}

/// <summary>
/// A share of the rate that grows to one over the first <paramref name="Length"/> iterations; default is none.
/// mmcv writes the linear form 1 − (1 − t)(1 − r) and Detectron r(1 − t) + t, with t = iteration / length and r the ratio at
/// the start: the same numbers. A constant warm-up stays at r.
/// </summary>
internal readonly record struct Warmup(long Length, double Ratio, bool IsConstant)
{
    public static Warmup Linear(long length, double ratio) => new(length, ratio, false);

    public static Warmup Constant(long length, double ratio) => new(length, ratio, true);

    public double Factor(long iteration)
    {
        if (iteration >= Length)
            return 1;
        double t = IsConstant ? 0 : (double)iteration / Length;
        return Ratio * (1 - t) + t;
    }
}

/// <summary>How the rate falls over a run, as a factor of the base rate.</summary>
internal abstract record RateDecay
{
    public static RateDecay None { get; } = new StepDecay([], []);

    /// <summary>Times <paramref name="gamma"/> at each milestone.</summary>
    public static RateDecay Steps(IReadOnlyList<long> milestones, double gamma = 0.1) => Steps(milestones, [.. milestones.Select(_ => gamma)]);

    /// <summary>Times a factor of its own at each milestone, such as MegDet's /10, /10, /2.</summary>
    public static RateDecay Steps(IReadOnlyList<long> milestones, IReadOnlyList<double> factors) => new StepDecay(milestones, factors);

    /// <summary>Half a cosine from 1 to <paramref name="last"/> over <paramref name="length"/> iterations, then flat.</summary>
    public static RateDecay Cosine(long length, double last = 0) => new CosineDecay(length, last);

    /// <summary>(1 − iteration/length)^power, then zero.</summary>
    public static RateDecay Polynomial(long length, double power) => new PolynomialDecay(length, power);

    /// <summary>Times <paramref name="gamma"/> every iteration.</summary>
    public static RateDecay Exponential(double gamma) => new ExponentialDecay(gamma);

    public abstract double Factor(long iteration);

    private sealed record StepDecay(IReadOnlyList<long> Milestones, IReadOnlyList<double> Factors) : RateDecay
    {
        public override double Factor(long iteration) => Factors.Where((_, i) => Milestones[i] <= iteration).Aggregate(1.0, (all, factor) => all * factor);
    }

    private sealed record CosineDecay(long Length, double Last) : RateDecay
    {
        public override double Factor(long iteration) =>
            Last + (1 - Last) / 2 * (1 + Math.Cos(Math.PI * Math.Min(iteration, Length) / Length));
    }

    private sealed record PolynomialDecay(long Length, double Power) : RateDecay
    {
        public override double Factor(long iteration) => Math.Pow(1 - (double)Math.Min(iteration, Length) / Length, Power);
    }

    private sealed record ExponentialDecay(double Gamma) : RateDecay
    {
        public override double Factor(long iteration) => Math.Pow(Gamma, iteration);
    }
}
