using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;
using Xunit.Sdk;

namespace CudaKernels.Tests;

/// <summary>The test tools themselves: a tool that never fails proves nothing.</summary>
public class KernelTestTests
{
    [Fact]
    public void LayoutsAreInverse()
    {
        int[] values = [.. Enumerable.Range(0, 2 * 3 * 4 * 5)];
        var last = KernelTest.ToChannelsLast(values, [2, 3, 4, 5]);
        Assert.Equal(20, last[1]); // channel 1 of the first pixel
        Assert.Equal(values, KernelTest.ToChannelsFirst(last, [2, 4, 5, 3]));
    }

    [Fact]
    public void CloseNamesTheWorstElementAndRefusesNaN()
    {
        KernelTest.Close([1.0, double.NaN], [1.0000001f, float.NaN], Tolerance.Pointwise, "close");
        var error = Assert.ThrowsAny<XunitException>(() => KernelTest.Close([1.0, 2.0], [1f, 2.1f], Tolerance.Sum, "far"));
        Assert.Contains("far: element 1", error.Message);
        Assert.ThrowsAny<XunitException>(() => KernelTest.Close([1.0], [float.NaN], Tolerance.Sum, "not a number"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(KernelTest.Gpu), InlineData(KernelTest.PtxMachine)]
    public void RunSeesWritesOutsideOfViewsAndKeptScratch(int lanes)
    {
        using var test = new KernelTest(lanes);
        var view = test.Output(3);
        test.Run(new Writer(view, 0, Keep: false));
        Assert.ThrowsAny<XunitException>(() => test.Run(new Writer(view, 0, Keep: true)));
        Assert.ThrowsAny<XunitException>(() => test.Run(new Writer(view, 3, Keep: false)));
    }

    private readonly record struct Writer(TensorView Y, int At, bool Keep) : IKernel
    {
        public Cost Cost => default;

        public void Validate()
        {
        }

        public void Run(CpuDevice device) => Write(device);

        public void Run(GpuDevice device) => Write(device);

        private void Write(Device device)
        {
            device.Fill(new TensorView(Y.Buffer, Y.Offset + At, new Shape(1), DType.F32), 1);
            var scratch = device.Rent(new Shape(100), DType.F32, nameof(Writer));
            if (!Keep)
                device.Return(scratch);
        }
    }
}
