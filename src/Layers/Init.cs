using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Laws for initial values. Fan-in is the product of all weight dimensions but the first, fan-out of all but the last:
/// k²·C_in and k²·C_out for (K,R,S,C) weights, in and out for linear ones. Element i takes draw i of the parameter's stream,
/// so values depend on nothing but seed, parameter and position.
/// </summary>
internal static class Init
{
    public static Initializer Zero { get; } = Constant(0);

    public static Initializer One { get; } = Constant(1);

    /// <summary>N(0, √(2/fan_out)): MSRA as Caffe2 and fvcore have it, kaiming normal of ResNets.</summary>
    public static Initializer KaimingNormalFanOut { get; } =
        (values, shape, random) => FillNormal(values, Math.Sqrt(2.0 / FanOut(shape)), random);

    /// <summary>N(0, √(2/fan_in)): Darknet.</summary>
    public static Initializer KaimingNormalFanIn { get; } =
        (values, shape, random) => FillNormal(values, Math.Sqrt(2.0 / FanIn(shape)), random);

    /// <summary>U(±√(3/fan_in)): XavierFill of Caffe and Caffe2, kaiming uniform with a = 1.</summary>
    public static Initializer XavierFill { get; } =
        (values, shape, random) => FillUniform(values, Math.Sqrt(3.0 / FanIn(shape)), random);

    /// <summary>U(±√(6/(fan_in + fan_out))): Glorot, the SSD heads.</summary>
    public static Initializer XavierUniform { get; } =
        (values, shape, random) => FillUniform(values, Math.Sqrt(6.0 / (FanIn(shape) + FanOut(shape))), random);

    /// <summary>U(±1/√fan_in): weights of deformable convolutions.</summary>
    public static Initializer UniformFanIn { get; } =
        (values, shape, random) => FillUniform(values, Math.Sqrt(1.0 / FanIn(shape)), random);

    public static Initializer Constant(float value) => (values, _, _) => values.Fill(value);

    /// <summary>The logit of a probability: bias of a classifier that shall start out believing it.</summary>
    public static Initializer LogitOf(float probability) => Constant((float)-Math.Log((1.0 - probability) / probability));

    public static Initializer Normal(float deviation) => (values, _, random) => FillNormal(values, deviation, random);

    public static Initializer Uniform(float bound) => (values, _, random) => FillUniform(values, bound, random);

    private static long FanIn(Shape shape) => Weight(shape).Length / Math.Max(1, shape[0]);

    private static long FanOut(Shape shape) => Weight(shape).Rows;

    private static Shape Weight(Shape shape) => shape.Rank >= 2 ? shape
        : throw new TensorException($"Init: {shape} has no fan; initialise it with Constant, Normal or Uniform");

    private static void FillNormal(Span<float> values, double deviation, CounterRandom random)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(deviation * random.At((ulong)i).Normal());
    }

    private static void FillUniform(Span<float> values, double bound, CounterRandom random)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)random.At((ulong)i).Uniform(-bound, bound);
    }
}
