using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU;
using Xunit;

namespace CudaKernels.Tests;

public class GpuMathTests
{
    private const double Bound = 2.4e-7;

    /// <summary>Exponents on a dense grid to past both ends, logarithms over all magnitudes and densely around one.</summary>
    private static readonly float[] Points = [.. Grid(), .. Magnitudes(), .. NearOne(), 0, -0f, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 88, -88, float.MaxValue, float.Epsilon];

    [Theory, InlineData(1), InlineData(KernelTest.Gpu), InlineData(KernelTest.PtxMachine)]
    public void ExponentialLogarithmAndSigmoidMatchDouble(int lanes)
    {
        var values = new float[3 * Points.Length];
        if (KernelTest.IsGpu(lanes))
        {
            using var test = new KernelTest(lanes);
            var device = (GpuDevice)test.Device;
            TensorView x = test.Upload(Points, Points.Length), y = test.Output(values.Length);
            device.LaunchFor(Kernel, Points.Length, new Arguments(device.F32(x), device.F32(y)));
            values = test.Read(y);
        }
        else
            for (int i = 0; i < Points.Length; i++)
                (values[3 * i], values[3 * i + 1], values[3 * i + 2]) = (GpuMath.Exp(Points[i]), GpuMath.Log(Points[i]), GpuMath.Sigmoid(Points[i]));
        for (int i = 0; i < Points.Length; i++)
        {
            Near("exp", Points[i], Math.Exp(Points[i]), values[3 * i], 2 * float.Epsilon);
            Near("log", Points[i], Math.Log(Points[i]), values[3 * i + 1], 0);
            // Where the exponential is infinite the sigmoid is zero.
            Near("sigmoid", Points[i], 1 / (1 + Math.Exp(-Points[i])), values[3 * i + 2], 1 / (double)float.MaxValue);
        }
    }

    internal readonly record struct Arguments(ArrayView<float> X, ArrayView<float> Y);

    private static void Kernel(Arguments a)
    {
        long i = ILGPU.Grid.GlobalLinearIndex;
        if (i >= a.X.Length)
            return;
        a.Y[3 * i] = GpuMath.Exp(a.X[i]);
        a.Y[3 * i + 1] = GpuMath.Log(a.X[i]);
        a.Y[3 * i + 2] = GpuMath.Sigmoid(a.X[i]);
    }

    private static void Near(string function, float x, double expected, float got, double plain)
    {
        if ((float)expected == got || double.IsNaN(expected) && float.IsNaN(got))
            return;
        // Near the largest number, infinity begins a rounding error early or late.
        double allowed = Bound * Math.Abs(expected) + plain;
        bool edge = Math.Abs(expected) > float.MaxValue * (1 - Bound) && float.IsInfinity(got);
        Assert.True(edge || Math.Abs(got - expected) <= allowed, $"{function}({x:R}) is {got:R}, expected {expected:R}");
    }

    private static IEnumerable<float> Grid()
    {
        for (float x = -110; x < 95; x += 0.00371f)
            yield return x;
    }

    private static IEnumerable<float> Magnitudes()
    {
        for (int exponent = -149; exponent < 128; exponent++)
            for (float m = 1; m < 2; m += 0.0171f)
                yield return m * MathF.ScaleB(1, exponent);
    }

    private static IEnumerable<float> NearOne()
    {
        for (int i = -20000; i < 20000; i++)
            yield return BitConverter.Int32BitsToSingle(0x3f800000 + i * 7);
    }
}
