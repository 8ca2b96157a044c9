using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class LayoutTests
{
    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ConcatenationAndItsGradientMoveEveryChannelOnce(int lanes)
    {
        foreach (var (first, second) in ((int, int)[])[(1, 3), (16, 17), (64, 5), (0, 7), (20, 65)])
        {
            using var test = new KernelTest(lanes);
            int rows = 2 * 3 * 5, channels = first + second;
            float[] a = KernelTest.Random(1, rows * first), b = KernelTest.Random(2, rows * second);
            TensorView left = test.Upload(a, 2, 3, 5, first), right = test.Upload(b, 2, 3, 5, second), both = test.Output(2, 3, 5, channels);
            test.Run(new CopyChannels(left, both, 0, 0, first, Accumulate: false));
            test.Run(new CopyChannels(right, both, 0, first, second, Accumulate: false));
            var got = test.Read(both);
            for (int i = 0; i < got.Length; i++)
                Assert.Equal(i % channels < first ? a[i / channels * first + i % channels] : b[i / channels * second + i % channels - first], got[i]);
            TensorView back = test.Output(2, 3, 5, second);
            test.Run(new CopyChannels(both, back, first, 0, second, Accumulate: false));
            Assert.Equal(b, test.Read(back));
            test.Run(new CopyChannels(both, back, first, 0, second, Accumulate: true));
            Assert.Equal(b.Select(value => value + value), test.Read(back));
        }
    }

    [Fact]
    public void CopyNamesTheChannelsItWanted()
    {
        using var test = new KernelTest(1);
        TensorView from = test.Output(2, 3, 3, 8), to = test.Output(2, 3, 3, 4);
        Assert.Equal("CopyChannels: to expects channels 1 to 5 but is f32[2,3,3,4]",
            Assert.Throws<KernelException>(() => test.Run(new CopyChannels(from, to, 0, 1, 4, Accumulate: false))).Message);
    }

    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void PixelsAreNormalised(int lanes)
    {
        using var test = new KernelTest(lanes);
        var pixels = new byte[3 * 17 * 41 * 3];
        new Random(5).NextBytes(pixels);
        float[] mean = [123.675f, 116.28f, 103.53f], deviation = [58.395f, 57.12f, 57.375f];
        var y = test.Output(3, 17, 41, 3);
        test.Run(new NormalizeImage(test.Upload(pixels, 3, 17, 41, 3), y, new(mean[0], mean[1], mean[2]), new(deviation[0], deviation[1], deviation[2])));
        var expected = new double[pixels.Length];
        for (int i = 0; i < pixels.Length; i++)
            expected[i] = ((double)pixels[i] - mean[i % 3]) / deviation[i % 3];
        KernelTest.Close(expected, test.Read(y), new Tolerance(0, 1e-6), "normalised");
    }

    [Fact]
    public void NormalizeRefusesOtherChannelCountsAndZeroDeviation()
    {
        using var test = new KernelTest(1);
        TensorView grey = test.Upload(new byte[4], 1, 2, 2, 1), colour = test.Upload(new byte[12], 1, 2, 2, 3);
        var one = new ChannelTriple(1, 1, 1);
        Assert.Equal("NormalizeImage: x expects three channels but is u8[1,2,2,1]",
            Assert.Throws<KernelException>(() => test.Run(new NormalizeImage(grey, test.Output(1, 2, 2, 1), one, one))).Message);
        Assert.Contains("deviation expects",
            Assert.Throws<KernelException>(() => test.Run(new NormalizeImage(colour, test.Output(1, 2, 2, 3), one, new(1, 0, 1)))).Message);
    }

    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var x = test.Upload(KernelTest.Random(3, 4099 * 13), 4099, 13);
        var y = test.Upload(KernelTest.Random(4, 4099 * 21), 4099, 21);
        test.Run(new CopyChannels(x, y, 2, 5, 11, Accumulate: true));
        return test.Read(y);
    });
}
