using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Tools of the layer tests: modules from functions, a loss of fixed weights, tape gradients against central differences.</summary>
internal static class LayerTest
{
    /// <summary>Holds modules under names, so that a test can build a parameter set over them.</summary>
    internal sealed class Holder : Module
    {
        public Holder(params ReadOnlySpan<(string Name, Module Child)> children)
        {
            foreach (var (name, child) in children)
                Add(name, child);
        }
    }

    /// <summary>A tensor of the scope that takes a gradient, as no input of a real network does.</summary>
    public static Tensor Leaf(StepScope scope, float[] values, params ReadOnlySpan<int> shape)
    {
        var tensor = scope.Rent(new Shape(shape), "input", requiresGradient: true);
        scope.Device.Upload<float>(values, tensor.View);
        return tensor;
    }

    public static float[] Read(Device device, TensorView view)
    {
        var values = new float[view.Length];
        device.Download(view, values.AsSpan());
        return values;
    }

    public static float[] Read(Tensor tensor) => Read(tensor.Scope.Device, tensor.View);

    /// <summary>Gradient that a leaf has received; zeros if none.</summary>
    public static float[] GradientOf(Tensor leaf) =>
        leaf.Gradient.IsNone ? new float[leaf.Shape.Length] : Read(leaf.Scope.Device, leaf.Gradient);

    /// <summary>Σ w·y with w fixed by the position; its gradient is w. <paramref name="start"/>: the position of y's first element.</summary>
    public static Tensor WeightedSum(Tensor y, int seed = 7, int start = 0)
    {
        var weights = KernelTest.Random(seed, start + y.Shape.Length)[start..];
        var loss = y.Scope.RentLoss(nameof(WeightedSum), requiresGradient: true);
        y.Scope.Device.Upload<float>([(float)Dot(weights, Read(y))], loss.View);
        y.Scope.Record(new SumNode(y, loss, weights));
        return loss;
    }

    public static double Dot(float[] a, float[] b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
            sum += (double)a[i] * b[i];
        return sum;
    }

    /// <summary>
    /// Compares the tape's gradients of inputs and parameters with central differences. <paramref name="forward"/> ends in a loss,
    /// or in a tensor, which is then summed with fixed weights. Points next to a kink show by one-sided differences that
    /// disagree; they are left out, and must be few.
    /// </summary>
    public static void CheckGradients(Module? module, (float[] Values, int[] Shape)[] inputs, Func<Tensor[], Tensor> forward,
        float step = 1e-3f, double tolerance = 5e-3, Action<ParameterSet>? prepare = null)
    {
        using var device = new CpuDevice(1);
        using var set = new ParameterSet(module ?? new Holder(), device, seed: 3);
        prepare?.Invoke(set);
        set.BeginGradients();
        var values = new List<(string Name, float[] At, Action<float[]> Write, float[] Gradient)>();
        using (var scope = new StepScope(device, record: true))
        {
            var leaves = inputs.Select(i => Leaf(scope, i.Values, i.Shape)).ToArray();
            var y = forward(leaves);
            scope.Backward(y.IsLoss ? y : WeightedSum(y));
            set.CompleteGradients();
            for (int i = 0; i < leaves.Length; i++)
            {
                var target = inputs[i].Values;
                values.Add(($"input {i}", (float[])target.Clone(), v => v.CopyTo(target, 0), GradientOf(leaves[i])));
            }
        }
        foreach (var (name, parameter) in set.Named)
            values.Add((name, Read(device, parameter.Value), v => device.Upload<float>(v, parameter.Value), Read(device, parameter.Gradient)));

        double middle = Loss();
        foreach (var (name, at, write, gradient) in values)
        {
            double largest = Math.Max(1e-3, gradient.Max(MathF.Abs));
            int kinks = 0;
            for (int i = 0; i < at.Length; i++)
            {
                var point = (float[])at.Clone();
                point[i] = at[i] + step;
                write(point);
                double above = Loss(), up = point[i];
                point[i] = at[i] - step;
                write(point);
                double below = Loss();
                double width = up - point[i];
                double left = (middle - below) / width * 2, right = (above - middle) / width * 2;
                write(at);
                if (Math.Abs(left - right) > tolerance * largest)
                {
                    kinks++;
                    continue;
                }
                double numeric = (above - below) / width;
                Assert.True(Math.Abs(numeric - gradient[i]) <= tolerance * largest,
                    $"{name}[{i}]: tape {gradient[i]:R}, differences {numeric:R} (largest {largest:G4})");
            }
            Assert.True(kinks <= 1 + at.Length / 10, $"{name}: {kinks} of {at.Length} points lie at a kink");
            Assert.True(gradient.Any(g => g != 0), $"{name}: the tape gave no gradient");
        }

        double Loss()
        {
            using var scope = new StepScope(device, record: true);
            var y = forward([.. inputs.Select(i => Leaf(scope, i.Values, i.Shape))]);
            return y.IsLoss ? Read(y)[0] : Dot(KernelTest.Random(7, y.Shape.Length), Read(y));
        }
    }

    private sealed class SumNode(Tensor y, Tensor loss, float[] weights) : Node(loss)
    {
        public override string Name => nameof(WeightedSum);

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var block = sink.Rent(y.Shape, Name);
            sink.Device.Upload<float>(weights, block.View);
            sink.Give(y, block);
        }
    }
}
