using CudaKernels.Kernels;

namespace CudaKernels.Layers;

internal static partial class Functional
{
    /// <summary>Bilinear resize; with <paramref name="alignCorners"/> the corner pixels' centres map onto each other, else the image edges.</summary>
    public static Tensor UpsampleBilinear(Tensor x, int height, int width, bool alignCorners)
    {
        var y = Resized(nameof(UpsampleBilinear), x, height, width);
        x.Scope.Device.Run(new BilinearForward(x.View, y.View, alignCorners));
        if (y.RequiresGradient)
            y.Scope.Record(new BilinearNode(x, y, alignCorners));
        return y;
    }

    /// <summary>Nearest resize: source row = ⌊row·heightIn/heightOut⌋.</summary>
    public static Tensor UpsampleNearest(Tensor x, int height, int width)
    {
        var y = Resized(nameof(UpsampleNearest), x, height, width);
        x.Scope.Device.Run(new NearestForward(x.View, y.View));
        if (y.RequiresGradient)
            y.Scope.Record(new NearestNode(x, y));
        return y;
    }

    private static Tensor Resized(string operation, Tensor x, int height, int width)
    {
        Operands.Image(operation, x);
        if (height < 1 || width < 1)
            throw new TensorException($"{operation}: height and width expect at least 1 but are {height} and {width}");
        return x.Scope.Rent(new Shape(x.Shape[0], height, width, x.Shape[3]), operation, x.RequiresGradient);
    }

    private sealed class BilinearNode(Tensor x, Tensor y, bool alignCorners) : Node(y)
    {
        public override string Name => nameof(UpsampleBilinear);

        public override NodeTrace Trace => new(x) { ["height"] = Output.Shape[1], ["width"] = Output.Shape[2], ["alignCorners"] = alignCorners };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var (gradX, add) = sink.For(x);
            sink.Device.Run(new BilinearBackward(gradient, gradX, alignCorners, add));
        }
    }

    private sealed class NearestNode(Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(UpsampleNearest);

        public override NodeTrace Trace => new(x) { ["height"] = Output.Shape[1], ["width"] = Output.Shape[2] };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var (gradX, add) = sink.For(x);
            sink.Device.Run(new NearestBackward(gradient, gradX, add));
        }
    }
}
