using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Losses: each returns a scalar, already weighted and normalised, for <see cref="StepScope.Backward(ReadOnlySpan{Tensor})"/>. Its gradient is computed in
/// the same pass as its value and becomes the gradient of the prediction without a copy. Targets take no gradient.
/// <c>weight</c> multiplies the loss, <c>elementWeights</c> its terms; <c>normalizer</c> is an f32[1] on the device to divide by
/// (zero divides by one), so that ranks can share one; without it the sum stands.
/// </summary>
internal static class Losses
{
    /// <summary>
    /// Penalty-reduced focal loss of a heatmap of logits; a peak of the target is exactly 1. Divided by the number of peaks,
    /// or by <paramref name="normalizer"/>.
    /// </summary>
    public static Tensor HeatmapFocal(Tensor logits, Tensor target, float weight = 1, Tensor? normalizer = null)
    {
        var root = new Root(nameof(HeatmapFocal), logits, target, normalizer);
        var count = root.Normalizer(normalizer);
        if (normalizer is null)
            root.Device.Run(new HeatmapPositives(target.View, count.View));
        root.Device.Run(new HeatmapFocalLoss(logits.View, target.View, root.Loss.View, root.Gradient, count.View, weight));
        return root.Finish();
    }

    /// <summary>RetinaNet's focal loss of logits and targets in [0,1]; <paramref name="alpha"/> below 0 does not weight.</summary>
    public static Tensor SigmoidFocal(Tensor logits, Tensor target, float weight = 1, float alpha = 0.25f, float gamma = 2,
        Tensor? elementWeights = null, Tensor? normalizer = null)
    {
        var root = new Root(nameof(SigmoidFocal), logits, target, elementWeights, normalizer);
        root.Device.Run(new SigmoidFocalLoss(logits.View, target.View, root.Loss.View, root.Gradient,
            Weight: View(elementWeights), Normalizer: View(normalizer), Alpha: alpha, Gamma: gamma, Scale: weight));
        return root.Finish();
    }

    /// <summary>Sum of 1 − GIoU over box pairs (x1,y1,x2,y2); widths are x2 − x1 + <paramref name="offset"/>.</summary>
    public static Tensor Giou(Tensor boxes, Tensor target, float weight = 1, float offset = 0, float epsilon = 1e-7f,
        Tensor? elementWeights = null, Tensor? normalizer = null)
    {
        var root = new Root(nameof(Giou), boxes, target, elementWeights, normalizer);
        root.Device.Run(new GiouLoss(boxes.View, target.View, root.Loss.View, root.Gradient,
            Weight: View(elementWeights), Normalizer: View(normalizer), Offset: offset, Epsilon: epsilon, Scale: weight));
        return root.Finish();
    }

    /// <summary>
    /// TTFNet's box loss: weighted 1 − GIoU of the boxes that a map (N,H,W,4) of distances left, top, right, bottom spans around its
    /// cells. Divided by the sum of <paramref name="cellWeights"/> (N,H,W), or by <paramref name="normalizer"/>, plus 1e-4.
    /// </summary>
    public static Tensor TtfBox(Tensor prediction, Tensor target, Tensor cellWeights, int stride, float weight = 1, Tensor? normalizer = null)
    {
        var root = new Root(nameof(TtfBox), prediction, target, cellWeights, normalizer);
        var total = root.Normalizer(normalizer);
        if (normalizer is null)
            root.Device.Run(new WeightTotal(cellWeights.View, total.View));
        root.Device.Run(new TtfBoxLoss(prediction.View, target.View, cellWeights.View, root.Loss.View, root.Gradient, total.View, stride, weight));
        return root.Finish();
    }

    /// <summary>Sum of |x − target|.</summary>
    public static Tensor L1(Tensor x, Tensor target, float weight = 1, Tensor? elementWeights = null, Tensor? normalizer = null) =>
        Distance(nameof(L1), x, target, weight, 0, elementWeights, normalizer);

    /// <summary>Sum of the smooth L1 distance: a parabola within <paramref name="beta"/>, a line outside.</summary>
    public static Tensor SmoothL1(Tensor x, Tensor target, float weight = 1, float beta = 1, Tensor? elementWeights = null, Tensor? normalizer = null) =>
        Distance(nameof(SmoothL1), x, target, weight, beta, elementWeights, normalizer);

    /// <summary>Sum of the binary cross entropy of logits and targets in [0,1].</summary>
    public static Tensor BceWithLogits(Tensor logits, Tensor target, float weight = 1, Tensor? elementWeights = null, Tensor? normalizer = null)
    {
        var root = new Root(nameof(BceWithLogits), logits, target, elementWeights, normalizer);
        root.Device.Run(new BceWithLogitsLoss(logits.View, target.View, root.Loss.View, root.Gradient,
            Weight: View(elementWeights), Normalizer: View(normalizer), Scale: weight));
        return root.Finish();
    }

    /// <summary>
    /// Cross entropy of softmax rows (..., classes) against i32 classes (...), averaged over the rows that count or divided by
    /// <paramref name="normalizer"/>.
    /// </summary>
    public static Tensor SoftmaxCrossEntropy(Tensor logits, Tensor target, float weight = 1, int ignoreIndex = -100, Tensor? normalizer = null)
    {
        var root = new Root(nameof(SoftmaxCrossEntropy), logits, target, normalizer);
        var rows = root.Normalizer(normalizer);
        if (normalizer is null)
            root.Device.Run(new CrossEntropyTotal(target.View, rows.View, IgnoreIndex: ignoreIndex));
        root.Device.Run(new SoftmaxCrossEntropyLoss(logits.View, target.View, root.Loss.View, root.Gradient,
            Normalizer: rows.View, IgnoreIndex: ignoreIndex, Scale: weight));
        return root.Finish();
    }

    private static Tensor Distance(string name, Tensor x, Tensor target, float weight, float beta, Tensor? elementWeights, Tensor? normalizer)
    {
        var root = new Root(name, x, target, elementWeights, normalizer);
        root.Device.Run(new SmoothL1Loss(x.View, target.View, root.Loss.View, root.Gradient,
            Weight: View(elementWeights), Normalizer: View(normalizer), Beta: beta, Scale: weight));
        return root.Finish();
    }

    private static TensorView View(Tensor? tensor) => tensor?.View ?? default;

    /// <summary>What every loss does around its kernel: check, rent the scalar and the gradient, record the node.</summary>
    private readonly struct Root
    {
        private readonly string name;
        private readonly Tensor prediction;
        private readonly Tensor? gradient;

        public Root(string name, Tensor prediction, params ReadOnlySpan<Tensor?> others)
        {
            (this.name, this.prediction) = (name, prediction);
            Operands.Value(name, "prediction", prediction);
            foreach (var other in others)
                if (other is not null)
                    Operands.Together(name, "prediction", prediction, "target or weight", other);
            Loss = prediction.Scope.RentLoss(name, prediction.RequiresGradient);
            if (Loss.RequiresGradient)
                gradient = prediction.Scope.Rent(prediction.Shape, "gradient of " + prediction.MadeBy);
        }

        public Kernels.Devices.Device Device => prediction.Scope.Device;

        public Tensor Loss { get; }

        /// <summary>None where no gradient is wanted.</summary>
        public TensorView Gradient => gradient?.View ?? default;

        /// <summary>The given normaliser, or room for the loss's own.</summary>
        public Tensor Normalizer(Tensor? given) => given ?? prediction.Scope.Rent(new Shape(1), name);

        public Tensor Finish()
        {
            if (gradient is not null)
                Loss.Scope.Record(new LossNode(name, prediction, Loss, gradient));
            return Loss;
        }
    }

    private sealed class LossNode : Node
    {
        private readonly Tensor prediction;
        private readonly Tensor inner;

        public LossNode(string name, Tensor prediction, Tensor loss, Tensor inner) : base(loss)
        {
            (Name, this.prediction, this.inner) = (name, prediction, inner);
            Save(inner);
        }

        public override string Name { get; }

        /// <summary>A loss is a root, so its own gradient is 1 and the stored one is final.</summary>
        public override void Backward(TensorView gradient, GradientSink sink) => sink.Give(prediction, inner);
    }
}
