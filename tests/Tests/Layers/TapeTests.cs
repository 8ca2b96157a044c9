using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>How gradients of several readers come together, and who owns their memory.</summary>
public sealed class TapeTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Fact]
    public void ATensorReadSeveralTimesSumsItsGradients()
    {
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, 2, 3], 3);
        var y = Functional.Add(Functional.Scale(x, 10), Functional.Add(x, Functional.Scale(x, 100)));
        scope.Backward(LayerTest.WeightedSum(y));
        var weights = KernelTest.Random(7, 3);
        KernelTest.Close(weights.Select(w => 111.0 * w).ToArray(), LayerTest.GradientOf(x), Tolerance.Pointwise, "x");
    }

    [Fact]
    public void AddOfATensorToItselfDoubles()
    {
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, 2, 3], 3);
        var y = Functional.Add(x, x);
        Assert.Equal([2, 4, 6], LayerTest.Read(y));
        scope.Backward(LayerTest.WeightedSum(y));
        Assert.Equal(KernelTest.Random(7, 3).Select(w => 2 * w), LayerTest.GradientOf(x));
    }

    [Fact]
    public void SeveralLossesAreSummed()
    {
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, 2, 3], 3);
        var y = Functional.Scale(x, 2);
        scope.Backward(LayerTest.WeightedSum(y, 7), LayerTest.WeightedSum(x, 8), LayerTest.WeightedSum(y, 9));
        float[] a = KernelTest.Random(7, 3), b = KernelTest.Random(8, 3), c = KernelTest.Random(9, 3);
        KernelTest.Close(Enumerable.Range(0, 3).Select(i => 2.0 * a[i] + b[i] + 2.0 * c[i]).ToArray(), LayerTest.GradientOf(x), Tolerance.Pointwise, "x");
    }

    [Fact]
    public void AParameterIsCompleteAfterTheLastNodeThatWritesItsGradient()
    {
        var (shared, last) = (new Conv2d(2, 2, 1), new Conv2d(2, 2, 3, bias: false));
        using var set = new ParameterSet(new Sequential(shared, last, new Sequential()), device, 1);
        using var scope = new StepScope(device, record: true);
        var x = scope.Upload<float>(KernelTest.Random(1, 2 * 3 * 3 * 2), new Shape(2, 3, 3, 2), "x");
        var y = last.Forward(shared.Forward(shared.Forward(x)));
        List<string> names = [];
        List<float[]> early = [];
        set.BeginGradients();
        scope.Backward([LayerTest.WeightedSum(y)], parameter =>
        {
            names.Add(parameter.Name);
            early.Add(parameter.Gradient.AsFloats().ToArray());
        });
        Assert.Equal(["1.weight", "0.weight", "0.bias"], names);
        Assert.Equal([last.Weight.Gradient.AsFloats().ToArray(), shared.Weight.Gradient.AsFloats().ToArray(), shared.Bias!.Gradient.AsFloats().ToArray()], early);
    }

    [Fact]
    public void AParameterUsedTwiceSumsItsGradientsAndTheNextStepStartsAnew()
    {
        var conv = new Conv2d(2, 2, 1);
        using var set = new ParameterSet(conv, device, 1);
        var data = KernelTest.Random(1, 2 * 3 * 3 * 2);
        var (once, onceBias) = Gradient(x => conv.Forward(x));
        var (twice, twiceBias) = Gradient(x => Functional.Add(conv.Forward(x), conv.Forward(x)));
        KernelTest.Close(once.Select(g => 2.0 * g).ToArray(), twice, Tolerance.SumGradient, "weight");
        KernelTest.Close(onceBias.Select(g => 2.0 * g).ToArray(), twiceBias, Tolerance.SumGradient, "bias");
        Assert.Equal(once, Gradient(x => conv.Forward(x)).Weight);

        (float[] Weight, float[] Bias) Gradient(Func<Tensor, Tensor> forward)
        {
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            scope.Backward(LayerTest.WeightedSum(forward(scope.Upload<float>(data, new Shape(2, 3, 3, 2), "images"))));
            set.CompleteGradients();
            return (LayerTest.Read(device, conv.Weight.Gradient), LayerTest.Read(device, conv.Bias!.Gradient));
        }
    }

    [Fact]
    public void UnusedParametersGetZeroGradients()
    {
        Conv2d used = new(2, 2, 1), unused = new(2, 2, 1);
        using var set = new ParameterSet(new LayerTest.Holder(("used", used), ("unused", unused)), device, 1);
        device.Fill(set.Gradients, float.NaN);
        set.BeginGradients();
        using var scope = new StepScope(device, record: true);
        scope.Backward(LayerTest.WeightedSum(used.Forward(scope.Upload<float>(KernelTest.Random(1, 18), new Shape(1, 3, 3, 2), "images"))));
        set.CompleteGradients();
        Assert.All(LayerTest.Read(device, unused.Weight.Gradient), g => Assert.Equal(0, g));
        Assert.All(LayerTest.Read(device, used.Weight.Gradient), g => Assert.True(float.IsFinite(g)));
    }

    [Fact]
    public void GivenGradientsAreNotCopied()
    {
        device.Profiler = new Profiler();
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, KernelTest.Random(1, 4096), 4096);
        var y = Functional.Add(Functional.Relu(x), Functional.Scale(x, 2));
        var loss = Losses.L1(y, scope.Upload<float>(KernelTest.Random(2, 4096), y.Shape, "target"));
        device.Pool.ResetPeak();
        long live = device.Pool.PeakBytes;
        scope.Backward(loss);
        Assert.True(device.Pool.PeakBytes <= live + 64 + 4096 * sizeof(float), "more than one block beyond the loss gradient was rented");
        Assert.DoesNotContain(device.Profiler.Rows, r => r.Name == nameof(AddInto) && r.Calls > 1);
    }

    [Fact]
    public void ASecondBackwardPassIsRefused()
    {
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, 2, 3], 3);
        var (first, second) = (LayerTest.WeightedSum(x), LayerTest.WeightedSum(x));
        scope.Backward(first);
        Assert.Contains("give all losses to one call", Assert.Throws<TensorException>(() => scope.Backward(second)).Message);
    }

    [Fact]
    public void ImagesTakeNoGradient()
    {
        var conv = new Conv2d(3, 4, 3);
        using var set = new ParameterSet(conv, device, 1);
        device.Profiler = new Profiler();
        set.BeginGradients();
        using var scope = new StepScope(device, record: true);
        scope.Backward(LayerTest.WeightedSum(conv.Forward(scope.Upload<float>(KernelTest.Random(1, 75), new Shape(1, 5, 5, 3), "images"))));
        Assert.Contains(device.Profiler.Rows, r => r.Name == nameof(Conv2dWeightGradient));
        Assert.DoesNotContain(device.Profiler.Rows, r => r.Name == nameof(Conv2dInputGradient));
    }
}
