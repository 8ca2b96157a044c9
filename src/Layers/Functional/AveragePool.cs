using CudaKernels.Kernels;

namespace CudaKernels.Layers;

internal static partial class Functional
{
    /// <summary>Mean of each window; see <see cref="MaxPool"/> for <paramref name="ceil"/>.</summary>
    /// <param name="window">Without dilation.</param>
    /// <param name="countPadding">Zeros of the padding count as values; without, windows at the border divide by what they hold.</param>
    public static Tensor AveragePool(Tensor x, Window window, bool ceil = false, bool countPadding = true)
    {
        Operands.Image(nameof(AveragePool), x);
        window.Validate(nameof(AveragePool));
        if (window.DilationY != 1 || window.DilationX != 1)
            throw new TensorException($"AveragePool: window expects dilation 1 but is {window}");
        Operands.Windowed(nameof(AveragePool), x, window, x.Shape[3]);
        return Averaged(nameof(AveragePool), x,
            Axis(x.Shape[1], window.KernelHeight, window.StrideY, window.PadY), Axis(x.Shape[2], window.KernelWidth, window.StrideX, window.PadX));

        AverageAxis Axis(int size, int kernel, int stride, int pad) =>
            AverageAxis.Windowed(size, AverageAxis.OutputOf(size, kernel, stride, pad, ceil), kernel, stride, pad, countPadding);
    }

    /// <summary>Means over the map cut into <paramref name="height"/> × <paramref name="width"/> nearly equal parts, whatever its size.</summary>
    public static Tensor AdaptiveAveragePool(Tensor x, int height, int width)
    {
        Operands.Image(nameof(AdaptiveAveragePool), x);
        if (height < 1 || width < 1)
            throw new TensorException($"AdaptiveAveragePool: height and width expect at least 1 but are {height} and {width}");
        return Averaged(nameof(AdaptiveAveragePool), x, AverageAxis.Adaptive(x.Shape[1], height), AverageAxis.Adaptive(x.Shape[2], width));
    }

    /// <summary>Mean over all pixels: (N,H,W,C) to (N,C).</summary>
    public static Tensor GlobalAveragePool(Tensor x)
    {
        Operands.Image(nameof(GlobalAveragePool), x);
        return Averaged(nameof(GlobalAveragePool), x, AverageAxis.Adaptive(x.Shape[1], 1), AverageAxis.Adaptive(x.Shape[2], 1), new Shape(x.Shape[0], x.Shape[3]));
    }

    private static Tensor Averaged(string operation, Tensor x, AverageAxis rows, AverageAxis columns, Shape? flat = null)
    {
        if (rows.Input < 1 || columns.Input < 1)
            throw new TensorException($"{operation}: x expects at least one pixel but is {x}");
        var image = new Shape(x.Shape[0], rows.Output, columns.Output, x.Shape[3]);
        var y = x.Scope.Rent(flat ?? image, operation, x.RequiresGradient);
        x.Scope.Device.Run(new AveragePoolForward(x.View, y.View.Reshape(image), rows, columns));
        if (y.RequiresGradient)
            y.Scope.Record(new AverageNode(operation, x, y, image, rows, columns));
        return y;
    }

    private sealed class AverageNode(string name, Tensor x, Tensor y, Shape image, AverageAxis rows, AverageAxis columns) : Node(y)
    {
        public override string Name => name;

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var (gradX, add) = sink.For(x);
            sink.Device.Run(new AveragePoolBackward(gradient.Reshape(image), gradX, rows, columns, add));
        }
    }
}
