using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Large results go past the caches and carry the bits that small ones carry.</summary>
public class PastCacheTests
{
    // 132 channels are no whole number of the widest vectors; one float more in front puts every row off its boundary.
    [Theory]
    [InlineData(4, 0)]
    [InlineData(8, 0)]
    [InlineData(16, 0)]
    [InlineData(8, 1)]
    public void NormsWriteTheSameInOneAndInParts(int lanes, int offset)
    {
        const int pixels = 8192, channels = 132, parts = 4;
        using var device = new CpuDevice(2, (VectorWidth)lanes);
        TensorView x = Filled(1), gradY = Filled(2), residual = Filled(3), whole = Filled(0), inParts = Filled(0);
        TensorView gamma = Vector(4), beta = Vector(5), mean = Vector(6), variance = Vector(7), sum = Vector(8), centred = Vector(9);
        Assert.True(PastCache.Suits(whole));
        Assert.False(PastCache.Suits(Part(whole, 0)));

        foreach (var branch in (TensorView[])[default, residual])
        {
            device.Run(new BatchNormApply(x, mean, variance, gamma, beta, branch, whole, 1e-3f, Activation.Relu));
            for (int i = 0; i < parts; i++)
                device.Run(new BatchNormApply(Part(x, i), mean, variance, gamma, beta, branch.IsNone ? default : Part(branch, i), Part(inParts, i), 1e-3f, Activation.Relu));
            Assert.Equal(inParts.AsFloats().ToArray(), whole.AsFloats().ToArray());
        }

        device.Run(new BatchNormInputGradient(x, x, gradY, mean, variance, gamma, sum, centred, pixels, whole, default, 1e-3f, Activation.Relu, true, false, false));
        for (int i = 0; i < parts; i++)
            device.Run(new BatchNormInputGradient(Part(x, i), Part(x, i), Part(gradY, i), mean, variance, gamma, sum, centred, pixels, Part(inParts, i), default,
                1e-3f, Activation.Relu, true, false, false));
        Assert.Equal(inParts.AsFloats().ToArray(), whole.AsFloats().ToArray());

        TensorView Filled(int seed) => Random(seed, new Shape(pixels, channels));
        TensorView Vector(int seed) => Random(seed, new Shape(channels));
        TensorView Random(int seed, Shape shape)
        {
            var view = device.Rent(new Shape((int)shape.Length + offset), DType.F32, nameof(PastCacheTests)).Slice(offset, shape);
            KernelTest.Random(seed, shape.Length).AsSpan().CopyTo(view.AsFloats());
            foreach (ref float value in view.AsFloats())
                value = seed == 7 ? Math.Abs(value) : value;
            return view;
        }
        static TensorView Part(TensorView view, int part) => view.Slice(part * (long)pixels / parts * channels, new Shape(pixels / parts, channels));
    }
}
