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

        TensorView Filled(int seed) => Random(device, seed, new Shape(pixels, channels), offset);
        TensorView Vector(int seed)
        {
            var view = Random(device, seed, new Shape(channels), offset);
            foreach (ref float value in view.AsFloats())
                value = seed == 7 ? Math.Abs(value) : value;
            return view;
        }
        static TensorView Part(TensorView view, int part) => view.Slice(part * (long)pixels / parts * channels, new Shape(pixels / parts, channels));
    }

    // 160 channels are whole vectors and whole tiles of all widths, 132 are neither.
    [Theory]
    [InlineData(4, 160, 0)]
    [InlineData(8, 160, 0)]
    [InlineData(16, 160, 0)]
    [InlineData(8, 160, 1)]
    [InlineData(8, 132, 0)]
    [InlineData(16, 132, 0)]
    public void AnImplicitProductWritesTheSameForABatchAndForEachImage(int lanes, int channels, int offset)
    {
        const int images = 4, height = 47, width = 43;
        using var device = new CpuDevice(2, (VectorWidth)lanes);
        TensorView x = Random(device, 1, new Shape(images, height, width, 5), offset), weight = Random(device, 2, new Shape(channels, 2, 3, 5), offset);
        TensorView bias = Random(device, 3, new Shape(channels), offset), residual = Filled(4), whole = Filled(5), inParts = Filled(5);
        Assert.True(PastCache.Suits(whole));
        Assert.False(PastCache.Suits(Part(whole, 0)));

        var window = new Window(KernelHeight: 2, KernelWidth: 3, StrideY: 1, StrideX: 1, PadY: 1, PadX: 1);
        foreach (var (branch, ofParts) in ((TensorView, TensorView)[])[(default, default), (residual, residual), (whole, inParts)])
        {
            device.Run(new Conv2dForward(x, weight, bias, whole, window, Activation: Activation.Relu, Residual: branch));
            for (int i = 0; i < images; i++)
                device.Run(new Conv2dForward(Part(x, i), weight, bias, Part(inParts, i), window, Activation: Activation.Relu,
                    Residual: ofParts.IsNone ? default : Part(ofParts, i)));
            Assert.Equal(inParts.AsFloats().ToArray(), whole.AsFloats().ToArray());
        }

        TensorView Filled(int seed) => Random(device, seed, new Shape(images, height + 1, width, channels), offset);
        static TensorView Part(TensorView view, int image)
        {
            var one = new Shape(1, view.Shape[1], view.Shape[2], view.Shape[3]);
            return view.Slice(image * one.Length, one);
        }
    }

    /// <summary>Random numbers that begin so many floats behind a boundary.</summary>
    private static TensorView Random(CpuDevice device, int seed, Shape shape, int offset)
    {
        var view = device.Rent(new Shape((int)shape.Length + offset), DType.F32, nameof(PastCacheTests)).Slice(offset, shape);
        KernelTest.Random(seed, shape.Length).AsSpan().CopyTo(view.AsFloats());
        return view;
    }
}
