using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A step that fails somewhere, at whichever kernel, gives all its memory back and says what failed, nothing else.</summary>
public sealed class FailureTests
{
    [Theory]
    [InlineData(new int[0], 1)]
    [InlineData(new[] { 1, 2, 5, 7 }, 3)] // a third of the kernels: every kind of place comes up
    public void AStepThatFailsAtAnyKernelLeavesNoMemoryBehind(int[] segments, int every)
    {
        using var device = new FailingDevice();
        var model = ModelCatalog.Create("ttfnet-nano", ["a", "b"]);
        model.Backbone.Segments = segments;
        using var set = new ParameterSet(model, device, seed: 1);
        var pictures = new[] { new ImageBuffer(32, 32), new ImageBuffer(32, 32) };
        var targets = new Targets([[2, 3, 20, 25], []], [[1], []]);
        long before = device.Pool.LiveBytes;

        device.KernelsLeft = 1_000_000;
        Step();
        int kernels = 1_000_000 - device.KernelsLeft;
        Assert.True(kernels > 200, $"{kernels} kernels");
        for (int good = 0; good < kernels; good += every)
        {
            device.KernelsLeft = good;
            Assert.Contains("broken on purpose", Assert.Throws<KernelException>(Step).Message);
            Assert.True(before == device.Pool.LiveBytes, $"{device.Pool.LiveBytes - before} bytes are lost when kernel {good} fails");
        }

        void Step()
        {
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            scope.Backward(model.Loss(ModelInput.Prepare(scope, pictures, 32), targets).Values);
            set.CompleteGradients();
        }
    }

    [Fact]
    public void AKernelThatFailsOverItsInputLeavesNoMemoryBehind()
    {
        using var device = new CpuDevice(2);
        using (var scope = new StepScope(device, record: true))
        {
            var targets = new Targets([[2, 3, 20, 25]], [[7]]);
            Assert.Contains("class of box 0 expects a number below 2 but is 7",
                Assert.Throws<KernelException>(() => TtfGoal.Encode(scope, new Shape(1, 8, 8, 2), targets, 4, 0.54f)).Message);
            var rows = scope.Upload<float>([1, 2, 3, 4], new Shape(2, 2), "rows");
            var classes = scope.Upload<int>([0, 5], new Shape(2), "classes", DType.I32);
            Assert.Contains("expects a class below 2", Assert.Throws<KernelException>(() => Losses.SoftmaxCrossEntropy(rows, classes)).Message);
        }
        Assert.Equal(0, device.Pool.LiveBytes);
    }
}
