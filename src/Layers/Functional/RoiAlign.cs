using CudaKernels.Kernels;

namespace CudaKernels.Layers;

internal static partial class Functional
{
    /// <summary>
    /// Each RoI cut into <paramref name="height"/> × <paramref name="width"/> bins, each the mean of bilinear samples of x: (K, height, width, C).
    /// No gradient flows to the RoIs.
    /// </summary>
    /// <param name="x">(N,H,W,C).</param>
    /// <param name="rois">(K,5): number of the image, x1, y1, x2, y2 in pixels of the picture.</param>
    public static Tensor RoiAlign(Tensor x, Tensor rois, int height, int width, RoiAlignRule rule)
    {
        Operands.Image(nameof(RoiAlign), x);
        Operands.Value(nameof(RoiAlign), "rois", rois);
        Operands.Together(nameof(RoiAlign), "x", x, "rois", rois);
        if (rois.Shape.Rank != 2 || rois.Shape[1] != 5)
            throw new TensorException($"RoiAlign: rois expects f32 (rois,5) of image, x1, y1, x2, y2 but is {rois}");
        if (height < 1 || width < 1)
            throw new TensorException($"RoiAlign: height and width expect at least 1 but are {height} and {width}");
        var y = x.Scope.Rent(new Shape(rois.Shape[0], height, width, x.Shape[3]), nameof(RoiAlign), x.RequiresGradient);
        x.Scope.Device.Run(new RoiAlignForward(x.View, rois.View, y.View, rule));
        if (y.RequiresGradient)
            y.Scope.Record(new RoiAlignNode(x, rois, y, rule));
        return y;
    }

    private sealed class RoiAlignNode(Tensor x, Tensor rois, Tensor y, RoiAlignRule rule) : Node(y)
    {
        public override string Name => nameof(RoiAlign);

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var (gradX, add) = sink.For(x);
            sink.Device.Run(new RoiAlignInputGradient(gradient, rois.View, gradX, rule, add));
        }
    }
}
