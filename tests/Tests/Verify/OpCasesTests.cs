using Xunit;
using Xunit.Sdk;

namespace CudaKernels.Tests;

/// <summary>The ladder's way to run tests sees what a test host sees, and results that change.</summary>
public sealed class OpCasesTests
{
    [Fact]
    public void TheClassesOfKernelTestsAreFound()
    {
        string[] names = [.. OpCases.Classes(typeof(OpCasesTests).Assembly).Select(type => type.Name)];
        foreach (var type in (Type[])[typeof(ConvTests), typeof(DeformConvTests), typeof(NmsTests), typeof(GpuProductTests), typeof(TensorProductTests), typeof(TargetTests), typeof(KernelTestTests)])
            Assert.Contains(type.Name, names);
        Assert.DoesNotContain(nameof(DatasetTests), names);
        Assert.DoesNotContain(nameof(CliTests), names);
    }

    [Fact]
    public void CasesOfTheDevicePassFailAndSkipByName()
    {
        GpuUnderTest.Require();
        var results = OpCases.Run(typeof(Cases)).ToDictionary(r => r.Name);
        Assert.Equal(5, results.Count); // no other lanes, nothing that stays off the device
        Assert.Equal(new("Cases.Passes(0, 3)", null, null, []), results["Cases.Passes(0, 3)"] with { Goldens = [] });
        Assert.Contains("3", results["Cases.Fails(0, 3)"].Failure);
        Assert.Equal("a reason", results["Cases.Skips()"].Skipped);
        Assert.Equal("other bits when run again", results["Cases.Changes()"].Failure);
        Assert.Equal("InvalidOperationException: broken", results["Cases.Breaks()"].Failure);
    }

    [Fact]
    public void ASummaryFailsWithTheNamesOfWhatFailed()
    {
        OpCaseResult good = new("A.Good()", null, null, ["x", "y"]), bad = new("A.Bad()", "element 3", null, ["y"]), skipped = new("A.Skipped()", null, "no golden", []);
        Assert.Equal("1 of 2 cases with equal bits when run again, 2 golden files, 1 skipped: no golden", OpCaseRung.Summary([good, skipped]));
        string message = Assert.ThrowsAny<XunitException>(() => OpCaseRung.Summary([good, bad])).Message;
        Assert.Contains("1 of 2 cases", message);
        Assert.Contains("A.Bad(): element 3", message);
        Assert.Throws<RungSkipped>(() => OpCaseRung.Summary([skipped]));
    }
}

/// <summary>Cases as a class of kernel tests has them; hidden from the test host, which would fail with them.</summary>
#pragma warning disable xUnit1000 // the host must not find it
internal sealed class Cases
#pragma warning restore xUnit1000
{
    private static int runs;

    public static TheoryData<int, int> Lanes => new() { { 1, 3 }, { KernelTest.Gpu, 3 } };

    [Theory, MemberData(nameof(Lanes))]
    public void Passes(int lanes, int count) => Assert.Equal(count, Sum(lanes, count));

    [Theory, MemberData(nameof(Lanes))]
    public void Fails(int lanes, int count) => Assert.Equal(0, Sum(lanes, count));

    [Fact]
    public void Skips()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        Assert.Skip("a reason");
    }

    [Fact]
    public void Changes() => Sum(KernelTest.Gpu, ++runs);

    [Fact]
    public void Breaks() => throw new InvalidOperationException("broken");

    [Fact]
    public void StaysOnTheProcessor() => Assert.Equal(2, Sum(4, 2));

    private static float Sum(int lanes, int count)
    {
        using var test = new KernelTest(lanes);
        return test.Read(test.Ones(count)).Sum();
    }
}
