using CudaKernels.Kernels;

namespace CudaKernels.Layers;

internal static partial class Functional
{
    /// <summary>Largest value of each window; padding never wins, the first of equal values does.</summary>
    /// <param name="ceil">Rounds the output size up: the last window may hang over the edge but starts inside image or left padding.</param>
    public static Tensor MaxPool(Tensor x, Window window, bool ceil = false)
    {
        Operands.Image(nameof(MaxPool), x);
        window.Validate(nameof(MaxPool));
        var shape = Operands.Windowed(nameof(MaxPool), x, window, x.Shape[3]);
        if (ceil)
            shape = new Shape(shape[0],
                Ceiling(shape[1], x.Shape[1], window.KernelHeight, window.StrideY, window.PadY, window.DilationY),
                Ceiling(shape[2], x.Shape[2], window.KernelWidth, window.StrideX, window.PadX, window.DilationX), shape[3]);
        var scope = x.Scope;
        var y = scope.Rent(shape, nameof(MaxPool), x.RequiresGradient);
        var index = scope.Rent(shape, nameof(MaxPool), type: DType.I32);
        scope.Device.Run(new MaxPoolForward(x.View, y.View, index.View, window));
        var node = new MaxPoolNode(x, y, index, window, ceil);
        node.Save(index);
        scope.Record(node);
        return y;
    }

    private static int Ceiling(int floor, int size, int kernel, int stride, int pad, int dilation)
    {
        bool rest = (size + 2 * pad - dilation * (kernel - 1) - 1) % stride != 0;
        return rest && floor * stride < size + pad ? floor + 1 : floor;
    }

    private sealed class MaxPoolNode(Tensor x, Tensor y, Tensor index, Window window, bool ceil) : Node(y)
    {
        public override string Name => nameof(MaxPool);

        public override NodeTrace Trace => new(x) { ["window"] = window, ["ceil"] = ceil };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var (gradX, add) = sink.For(x);
            sink.Device.Run(new MaxPoolBackward(gradient, index.View, gradX, window, add));
        }
    }
}
