using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Life of tensors: who owns memory, when it goes back, and what a wrong use is told.</summary>
public sealed class ScopeTests : IDisposable
{
    private readonly CpuDevice device = new(2);

    public void Dispose() => device.Dispose();

    [Fact]
    public void ADeadTensorNamesItsMakerAndTheRemedy()
    {
        Tensor x, y;
        using (var scope = new StepScope(device, record: false))
        {
            x = scope.Upload<float>([1, -2], new Shape(2), "input");
            y = Functional.Relu(x);
        }
        var error = Assert.Throws<TensorException>(() => y.View);
        Assert.Equal("Relu: its output f32[2] is dead (its step scope is closed); read it earlier or hold it with scope.Keep(tensor)", error.Message);
        Assert.Throws<TensorException>(() => Functional.Relu(x));
    }

    [Fact]
    public void ActivationsDieInTheBackwardPassLossesDoNot()
    {
        using var scope = new StepScope(device, record: true);
        var x = LayerTest.Leaf(scope, [1, -2], 2);
        var y = Functional.Relu(x);
        var loss = LayerTest.WeightedSum(y);
        scope.Backward(loss);
        var error = Assert.Throws<TensorException>(() => y.View);
        Assert.Contains("its backward pass is over", error.Message);
        Assert.True(float.IsFinite(LayerTest.Read(loss)[0]));
        Assert.Equal([1, -2], LayerTest.Read(x));
    }

    [Fact]
    public void KeepOutlivesBackwardPassAndScope()
    {
        long before = device.Pool.LiveBytes;
        TensorView kept;
        Tensor y;
        using (var scope = new StepScope(device, record: true))
        {
            y = Functional.Scale(LayerTest.Leaf(scope, [1, -2], 2), 3);
            kept = scope.Keep(y);
            scope.Backward(LayerTest.WeightedSum(y));
            var error = Assert.Throws<TensorException>(() => scope.Keep(y));
            Assert.Contains("Scale f32[2]", error.Message);
        }
        Assert.Equal([3, -6], LayerTest.Read(device, kept));
        device.Return(kept);
        Assert.Equal(before, device.Pool.LiveBytes);
    }

    [Fact]
    public void WrongShapesNameTheParameterAndTheTensor()
    {
        var conv = new Conv2d(128, 8, 3);
        using var set = new ParameterSet(new LayerTest.Holder(("stem", conv)), device, 1);
        using var scope = new StepScope(device, record: false);
        var x = scope.Rent(new Shape(8, 5, 5, 64), "Relu");
        Assert.Equal("Conv2d: stem.weight expects 128 input channels but x is Relu f32[8,5,5,64]",
            Assert.Throws<TensorException>(() => conv.Forward(x)).Message);
        Assert.Equal("Add: b expects f32[8,5,5,64], the shape of a, but is other f32[8,5,5,32]",
            Assert.Throws<TensorException>(() => Functional.Add(x, scope.Rent(new Shape(8, 5, 5, 32), "other"))).Message);
        Assert.StartsWith("Concat: parts[1] expects the dimensions of parts[0] Relu f32[8,5,5,64] except the last",
            Assert.Throws<TensorException>(() => Functional.Concat(x, scope.Rent(new Shape(8, 5, 4, 64), "other"))).Message);
        Assert.StartsWith("MaxPool: the window (kernel 9x9",
            Assert.Throws<TensorException>(() => Functional.MaxPool(x, Window.Square(9))).Message);
    }

    [Fact]
    public void TensorsOfAnotherScopeOrDeviceAreRefused()
    {
        using var otherDevice = new CpuDevice(1);
        using var scope = new StepScope(device, record: false);
        using var sibling = new StepScope(device, record: false);
        using var foreign = new StepScope(otherDevice, record: false);
        var shape = new Shape(1, 2, 2, 3);
        var x = scope.Rent(shape, "x");
        Assert.Equal("Add: b here f32[1,2,2,3] belongs to another step scope than a x f32[1,2,2,3]; make both inside one scope",
            Assert.Throws<TensorException>(() => Functional.Add(x, sibling.Rent(shape, "here"))).Message);
        Assert.Contains("on another device, cpu; download it",
            Assert.Throws<TensorException>(() => Functional.Add(x, foreign.Rent(shape, "there"))).Message);
        var conv = new Conv2d(3, 1, 1);
        using var set = new ParameterSet(new LayerTest.Holder(("c", conv)), otherDevice, 1);
        Assert.Contains("c.weight lives on cpu and x x f32[1,2,2,3] on another device, cpu; open the step scope on the device of the ParameterSet",
            Assert.Throws<TensorException>(() => conv.Forward(x)).Message);
        var homeless = new Conv2d(3, 1, 1);
        Assert.Contains("build a ParameterSet", Assert.Throws<TensorException>(() => homeless.Forward(x)).Message);
    }

    [Fact]
    public void NothingFollowsALossAndOnlyLossesOfThisScopeAreRoots()
    {
        using var scope = new StepScope(device, record: true);
        using var silent = new StepScope(device, record: false);
        var x = LayerTest.Leaf(scope, [1, -2], 2);
        var target = scope.Upload<float>([0, 0], new Shape(2), "target");
        var loss = Losses.L1(x, target);
        Assert.Contains("nothing may follow a loss", Assert.Throws<TensorException>(() => Functional.Scale(loss, 2)).Message);
        Assert.Contains("is a scalar", Assert.Throws<TensorException>(() => scope.Backward(x)).Message);
        Assert.Contains("given twice", Assert.Throws<TensorException>(() => scope.Backward(loss, loss)).Message);
        Assert.Contains("no parameter took part", Assert.Throws<TensorException>(() => scope.Backward(Losses.L1(target, target))).Message);
        Assert.Contains("record: true", Assert.Throws<TensorException>(() => silent.Backward(loss)).Message);
        scope.Dispose();
        Assert.Contains("closed", Assert.Throws<TensorException>(() => scope.Rent(new Shape(1), "late")).Message);
    }

    [Fact]
    public void ClosingAScopeReturnsEverythingAtAnyPoint()
    {
        long before = device.Pool.LiveBytes;
        var block = new ConvBlock(3, 4, 3, activation: Activation.Relu);
        var set = new ParameterSet(block, device, 1);
        using (var scope = new StepScope(device, record: true))
        {
            var y = block.Forward(scope.Upload<float>(KernelTest.Random(1, 2 * 5 * 5 * 3), new Shape(2, 5, 5, 3), "images"));
            y = Functional.MaxPool(y, Window.Square(3, 2, 1));
            Losses.L1(y, scope.Rent(y.Shape, "target")); // recorded, never run backwards
        }
        set.Dispose();
        Assert.Equal(before, device.Pool.LiveBytes);
    }

    [Fact]
    public void InferenceNormalisesInPlaceWhereTheInputIsConsumed()
    {
        var norm = new BatchNorm2d(2);
        using var set = new ParameterSet(norm, device, 1);
        norm.Train(false);
        using var scope = new StepScope(device, record: false);
        Tensor Images() => scope.Upload<float>(KernelTest.Random(1, 18), new Shape(1, 3, 3, 2), "images");
        var expected = LayerTest.Read(norm.Forward(Images()));
        var x = Images();
        long live = device.Pool.LiveBytes;
        Assert.Equal(expected, LayerTest.Read(norm.Forward(x, consume: true)));
        Assert.Equal(live, device.Pool.LiveBytes);
        Assert.Contains("BatchNorm2d took its memory over", Assert.Throws<TensorException>(() => x.View).Message);
        using var taped = new StepScope(device, record: true);
        var y = taped.Upload<float>(KernelTest.Random(1, 18), new Shape(1, 3, 3, 2), "images");
        Assert.Equal(expected, LayerTest.Read(norm.Forward(y, consume: true)));
        Assert.Equal(18, LayerTest.Read(y).Length);
    }

    [Fact]
    public void InferenceKeepsNothingForABackwardPass()
    {
        var block = new ConvBlock(3, 4, 3, activation: Activation.Relu);
        using var set = new ParameterSet(block, device, 1);
        using var scope = new StepScope(device, record: false);
        var y = block.Forward(scope.Upload<float>(KernelTest.Random(1, 2 * 5 * 5 * 3), new Shape(2, 5, 5, 3), "images"));
        long live = device.Pool.LiveBytes;
        var pooled = Functional.MaxPool(y, Window.Square(2, 2));
        Assert.False(pooled.RequiresGradient);
        Assert.Equal(live + MemoryPool.SizeClass(pooled.View.Bytes), device.Pool.LiveBytes);
    }
}
