using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What a <see cref="GpuDevice"/> does besides running kernels.</summary>
public sealed class GpuDeviceTests
{
    [Fact]
    public void TimesEachRepetition()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        var device = (GpuDevice)test.Device;
        var large = test.Output(1 << 20);
        int runs = 0;
        Fill();
        var times = device.Time(Fill, 5);
        Assert.Equal(5, times.Length);
        Assert.Equal(6, runs);
        Assert.All(times, t => Assert.InRange(t, 1e-6, 10_000));
        Assert.Empty(device.Time(Fill, 0));

        void Fill()
        {
            runs++;
            device.Fill(large, 1);
        }
    }
}
