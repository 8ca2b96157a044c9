using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class ElementwiseTests
{
    private static readonly int[] AwkwardLengths = [0, 1, 3, 7, 15, 17, 31, 1023, 1025, 1028, 40001];

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void MatchesTheGoldenActivations(int lanes)
    {
        foreach (string path in GoldenFolder.Cases("activation"))
            if (!Activates(lanes, GoldenFile.Load(path)))
                TestContext.Current.TestOutputHelper?.WriteLine($"skipped: the project has no activation {Path.GetFileNameWithoutExtension(path)}");
    }

    private static bool Activates(int lanes, GoldenFile file)
    {
        string name = file.Metadata["case"];
        Activation? activation = name == "relu" ? Activation.Relu
            : file.Attribute("negative_slope") is { } slope ? Activation.LeakyRelu(slope.GetSingle())
            : null;
        if (activation is null && name != "sigmoid")
            return false;
        using var test = new KernelTest(lanes);
        var x = test.Upload(file, "x");
        var gradY = test.Upload(file, "grad_out");
        TensorView y = test.Output(x.Shape), gradX = test.Output(x.Shape), twice = test.Zeros(x.Shape.ToArray());
        for (int pass = 0; pass < 2; pass++)
        {
            if (activation is { } chosen)
            {
                test.Run(new ActivationForward(x, y, chosen));
                test.Run(new ActivationBackward(y, gradY, gradX, chosen, Accumulate: false));
                test.Run(new ActivationBackward(y, gradY, twice, chosen, Accumulate: true));
            }
            else
            {
                test.Run(new SigmoidForward(x, y));
                test.Run(new SigmoidBackward(y, gradY, gradX, Accumulate: false));
                test.Run(new SigmoidBackward(y, gradY, twice, Accumulate: true));
            }
        }
        test.Compare(file, "out", y, Tolerance.Pointwise);
        test.Compare(file, "grad.x", gradX, Tolerance.Pointwise);
        KernelTest.Close(Array.ConvertAll(test.Read(gradX), value => 2.0 * value), test.Read(twice), Tolerance.Pointwise, "accumulated");
        return true;
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void SigmoidHoldsAtTheEnds(int lanes)
    {
        using var test = new KernelTest(lanes);
        float[] values = [-1000, -100, -88, -1e-8f, 0, 20, 88, 1000, float.NegativeInfinity, float.PositiveInfinity, float.NaN, 1];
        var y = test.Output(values.Length);
        test.Run(new SigmoidForward(test.Upload(values, values.Length), y));
        KernelTest.Close(Array.ConvertAll(values, value => 1 / (1 + Math.Exp(-value))), test.Read(y), Tolerance.Pointwise, "sigmoid");
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ArithmeticIsExactAtAwkwardLengths(int lanes)
    {
        foreach (int length in AwkwardLengths)
        {
            using var test = new KernelTest(lanes);
            float[] a = KernelTest.Random(1, length), b = KernelTest.Random(2, length);
            TensorView left = test.Upload(a, length), right = test.Upload(b, length), y = test.Output(length);
            test.Run(new AddForward(left, right, y));
            Assert.Equal(a.Zip(b, (u, v) => u + v), test.Read(y));
            test.Run(new AddInto(left, y));
            Assert.Equal(a.Zip(b, (u, v) => u + v + u), test.Read(y));
            test.Run(new Scale(right, right, 0.3f)); // in place
            Assert.Equal(b.Select(v => 0.3f * v), test.Read(right));
            test.Run(new ActivationForward(left, left, Activation.LeakyRelu(0.1f)));
            Assert.Equal(a.Select(u => u > 0 ? u : u * 0.1f), test.Read(left));
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        var x = test.Upload(KernelTest.Random(3, 70001, 8), 70001);
        var y = test.Output(70001);
        test.Run(new SigmoidForward(x, y));
        test.Run(new SigmoidBackward(y, x, x, Accumulate: true));
        return test.Read(x);
    });

    [Fact]
    public void ActivationBackwardReadsTheKinkAsPyTorch()
    {
        using var test = new KernelTest(4);
        TensorView y = test.Upload([0f, -0f, 1f, -1f], 4), gradY = test.Ones(4), gradX = test.Output(4);
        test.Run(new ActivationBackward(y, gradY, gradX, Activation.LeakyRelu(0.25f), Accumulate: false));
        Assert.Equal([0.25f, 0.25f, 1f, 0.25f], test.Read(gradX));
    }

    [Fact]
    public void ErrorsNameOperationArgumentAndExpectation()
    {
        using var test = new KernelTest(1);
        TensorView x = test.Output(2, 3), y = test.Output(3, 2), part = new(x.Buffer, x.Offset + 1, new Shape(2, 3), DType.F32);
        Assert.Equal("AddForward: a expects f32[3,2] but is f32[2,3]",
            Assert.Throws<KernelException>(() => test.Run(new AddForward(x, x, y))).Message);
        Assert.Contains("share memory", Assert.Throws<KernelException>(() => test.Run(new AddInto(x, part))).Message);
        Assert.Equal("ActivationForward: activation expects a slope ≥ 0 but is -1",
            Assert.Throws<KernelException>(() => test.Run(new ActivationForward(x, x, Activation.LeakyRelu(-1)))).Message);
    }
}
