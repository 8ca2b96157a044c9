using CudaKernels.Kernels;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public class InitTests
{
    private static readonly Shape Weight = new(64, 3, 3, 32); // fan-in 288, fan-out 576

    [Theory]
    [InlineData("kaiming fan-out", 576, 2)]
    [InlineData("kaiming fan-in", 288, 2)]
    public void NormalLaws(string law, double fan, double gain)
    {
        var values = Draw(law == "kaiming fan-out" ? Init.KaimingNormalFanOut : Init.KaimingNormalFanIn);
        double deviation = Math.Sqrt(gain / fan);
        Assert.InRange(values.Average(), -0.01 * deviation * 3, 0.01 * deviation * 3);
        Assert.InRange(Math.Sqrt(values.Average(v => v * v)), 0.98 * deviation, 1.02 * deviation);
        Assert.InRange(values.Max(), 3 * deviation, 6 * deviation);
    }

    [Fact]
    public void UniformLaws()
    {
        Bound(Init.XavierFill, Math.Sqrt(3.0 / 288));
        Bound(Init.XavierUniform, Math.Sqrt(6.0 / (288 + 576)));
        Bound(Init.UniformFanIn, Math.Sqrt(1.0 / 288));
        Bound(Init.Uniform(0.25f), 0.25);

        static void Bound(Initializer law, double bound)
        {
            var values = Draw(law);
            Assert.InRange(values.Max(), 0.99 * bound, bound);
            Assert.InRange(values.Min(), -bound, -0.99 * bound);
            Assert.InRange(Math.Sqrt(values.Average(v => v * v)), 0.98 * bound / Math.Sqrt(3), 1.02 * bound / Math.Sqrt(3));
        }
    }

    [Fact]
    public void ConstantsAndTheClassifierBias()
    {
        Assert.All(Draw(Init.Constant(0.5f)), v => Assert.Equal(0.5, v));
        Assert.Equal(-4.59512f, (float)Draw(Init.LogitOf(0.01f))[0], 1e-5f);
        Assert.InRange(Math.Sqrt(Draw(Init.Normal(0.01f)).Average(v => v * v)), 0.0098, 0.0102);
    }

    [Fact]
    public void VectorsHaveNoFan() =>
        Assert.Contains("[8] has no fan", Assert.Throws<TensorException>(() => Init.XavierFill(new float[8], new Shape(8), default)).Message);

    private static double[] Draw(Initializer law)
    {
        var values = new float[Weight.Length];
        law(values, Weight, new CounterRandom(5, 0, 2));
        return KernelTest.Widen(values);
    }
}
