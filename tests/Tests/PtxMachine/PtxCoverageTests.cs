using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The count of what has run, on which <see cref="PtxCoverage"/> judges a whole run of the tests.</summary>
public sealed class PtxCoverageTests(ITestContextAccessor host)
{
    [Fact]
    public void TestsAndKernelsAreCounted()
    {
        Assert.NotNull(host.Current.Test); // a test host counts; without one, as on a GPU machine, there is nothing to test here
        Assert.True(PtxCoverage.HasBegun(GetType().GetMethod(nameof(TestsAndKernelsAreCounted))!));
        Assert.False(PtxCoverage.HasBegun(typeof(object).GetMethod(nameof(ToString))!));
        var fill = GpuKernels.Find().Where(kernel => kernel.DeclaringType == typeof(GpuDevice)).ToArray();
        Assert.NotEmpty(fill);
        using var test = new KernelTest(KernelTest.PtxMachine);
        Assert.Equal([2f, 2f, 2f], test.Read(test.Fill([3], 2)));
        Assert.Empty(PtxCoverage.Missing(fill));
        Assert.Equal([$"{nameof(PtxCoverageTests)}.{nameof(TestsAndKernelsAreCounted)}"], PtxCoverage.Missing([GetType().GetMethod(nameof(TestsAndKernelsAreCounted))!]));
    }
}
