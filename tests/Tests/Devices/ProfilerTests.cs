using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What a profile accounts for and which algorithms it names.</summary>
public sealed class ProfilerTests : IDisposable
{
    private readonly CpuDevice device = new(2) { Profiler = new Profiler() };

    public void Dispose() => device.Dispose();

    [Theory]
    [InlineData(32, 32, 3, 1, 1, "minimal filtering")]
    [InlineData(32, 32, 3, 2, 1, "implicit product")]
    [InlineData(32, 32, 1, 1, 1, "implicit product")]
    [InlineData(4, 32, 3, 1, 1, "implicit product")]
    [InlineData(32, 32, 3, 1, 32, "depthwise")]
    public void ConvolutionsNameTheAlgorithmThatRan(int inChannels, int outChannels, int kernel, int stride, int groups, string algorithm)
    {
        var window = Window.Square(kernel, stride, padding: kernel / 2);
        TensorView x = Zeros(1, 16, 16, inChannels), weight = Zeros(outChannels, kernel, kernel, inChannels / groups);
        var y = Zeros(1, window.OutHeight(16), window.OutWidth(16), outChannels);
        device.Run(new Conv2dForward(x, weight, default, y, window, groups));
        device.Run(new Conv2dInputGradient(y, weight, x, window, groups));
        device.Run(new Conv2dWeightGradient(x, y, weight, window, groups));
        device.Run(new AddInto(x, Zeros(1, 16, 16, inChannels)));
        Assert.Equivalent(
            new[] { (nameof(Conv2dForward), (string?)algorithm), (nameof(Conv2dInputGradient), algorithm), (nameof(Conv2dWeightGradient), algorithm), (nameof(AddInto), null) },
            device.Profiler!.Rows.Select(r => (r.Name, r.Algorithm)), strict: true);
    }

    [Fact]
    public void EachAlgorithmHasARowOfItsOwn()
    {
        foreach (int kernel in new[] { 3, 3, 1 })
            device.Run(new Conv2dForward(Zeros(1, 16, 16, 32), Zeros(32, kernel, kernel, 32), default, Zeros(1, 16, 16, 32), Window.Square(kernel, 1, kernel / 2)));
        Assert.Equivalent(new[] { ("minimal filtering", 2L), ("implicit product", 1L) }, device.Profiler!.Rows.Select(r => (r.Algorithm, r.Calls)), strict: true);
    }

    [Fact]
    public void HostWorkLeavesOutWhatKernelsAndInnerWorkTake()
    {
        var profiler = device.Profiler!;
        using (device.HostWork("outer"))
        {
            profiler.Add("Kernel", null, seconds: 1000, new Cost(6, 8));
            using (device.HostWork("inner"))
                Thread.Sleep(30);
        }
        var rows = profiler.Rows.ToDictionary(r => r.Name);
        Assert.Equal(["inner", "outer"], rows.Values.Where(r => r.OnHost).Select(r => r.Name).Order());
        Assert.InRange(rows["inner"].Seconds, 0.025, 20);
        Assert.InRange(rows["outer"].Seconds, -1000, -980); // the kernel never ran, so its 1000 seconds are missing here
        Assert.Equal(rows.Values.Sum(r => r.Seconds), profiler.AccountedSeconds, 6);
    }

    [Fact]
    public void WithoutAProfilerHostWorkIsNothing()
    {
        device.Profiler = null;
        using (device.HostWork("work"))
            device.Run(new AddInto(Zeros(4), Zeros(4)));
        Assert.Null(device.Profiler);
    }

    [Fact]
    public void ItsClockStops()
    {
        var profiler = new Profiler();
        profiler.Stop();
        double stopped = profiler.WallSeconds;
        Thread.Sleep(5);
        Assert.Equal(stopped, profiler.WallSeconds);
    }

    private TensorView Zeros(params ReadOnlySpan<int> shape)
    {
        var view = device.Rent(new Shape(shape), DType.F32, "test");
        device.Fill(view, 0);
        return view;
    }
}
