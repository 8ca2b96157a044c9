using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

public unsafe class VectorExpTests
{
    [Fact]
    public void EveryWidthIsRightToTwoUlp()
    {
        for (float x = -86.9f; x < 88.7f; x += 0.00371f)
            foreach (float got in (float[])[First<F32x1>(x), First<F32x4>(x), First<F32x8>(x), First<F32x16>(x)])
            {
                double expected = Math.Exp(x);
                Assert.True(Math.Abs(got - expected) <= 2.4e-7 * expected, $"exp({x:R}) is {got:R}, expected {expected:R}");
            }
    }

    [Theory, InlineData(0, 1), InlineData(-90, 0), InlineData(-1e30f, 0), InlineData(float.NegativeInfinity, 0)]
    [InlineData(89, float.PositiveInfinity), InlineData(1e30f, float.PositiveInfinity), InlineData(float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(float.NaN, float.NaN)]
    public void SpecialValues(float x, float expected)
    {
        Assert.Equal(expected, First<F32x4>(x));
        Assert.Equal(expected, First<F32x8>(x));
        Assert.Equal(expected, First<F32x16>(x));
    }

    private static float First<TVector>(float x) where TVector : unmanaged, ISimd<TVector>
    {
        float* values = stackalloc float[TVector.Count];
        TVector.Store(TVector.Exp(TVector.Create(x)), values);
        return values[0];
    }
}
