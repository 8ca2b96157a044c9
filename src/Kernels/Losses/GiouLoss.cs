using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// 1 − GIoU of box pairs (x1,y1,x2,y2); the formula stands at <see cref="GiouMath"/>. Loss = Scale/Normalizer · Σ Weight·(1−GIoU).
/// The gradient of the target boxes is that of the prediction with the two exchanged.
/// </summary>
/// <param name="Boxes">f32[..., 4], predicted.</param>
/// <param name="Target">Shape of the boxes.</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradBoxes">Optional, written.</param>
/// <param name="Elements">Optional f32[boxes], written: Weight·(1−GIoU), without scale.</param>
/// <param name="Weight">Optional f32[boxes]; also the upstream gradient of the elements.</param>
/// <param name="Normalizer">Optional f32[1]; zero divides by one.</param>
/// <param name="Offset">0: width is x2−x1; 1: width is x2−x1+1.</param>
/// <param name="Epsilon">Added to union and enclosing area; needed where areas can be zero.</param>
/// <param name="Scale">Weight of the loss; 1/boxes makes it a mean.</param>
internal readonly record struct GiouLoss(
    TensorView Boxes, TensorView Target, TensorView Loss, TensorView GradBoxes = default, TensorView Elements = default,
    TensorView Weight = default, TensorView Normalizer = default, float Offset = 0, float Epsilon = 1e-7f, float Scale = 1) : IKernel
{
    public Cost Cost => new(20.0 * Boxes.Length, Boxes.Bytes + Target.Bytes + Weight.Bytes + Elements.Bytes + GradBoxes.Bytes);

    public void Validate()
    {
        const string operation = nameof(GiouLoss);
        Check.That(!Boxes.IsNone && Boxes.Type == DType.F32 && Boxes.Shape.Channels == 4, operation, "boxes", "f32[..., 4]", Boxes);
        Check.Shape(operation, "target", Target, Boxes.Shape);
        Check.Optional(operation, "gradient", GradBoxes, Boxes.Shape);
        Check.Optional(operation, "elements", Elements, new Shape((int)Boxes.Shape.Rows));
        Check.Optional(operation, "weight", Weight, new Shape((int)Boxes.Shape.Rows));
        LossCheck.Total(operation, Loss, Normalizer);
        Check.Apart(operation, "gradient", GradBoxes, "boxes", Boxes);
        Check.Apart(operation, "gradient", GradBoxes, "target", Target);
    }

    public void Run(CpuDevice device) => device.Dispatch(new BoxPairs<Corners>(
        default, Boxes, Target, Weight, Loss, Elements, GradBoxes, LossCheck.Factor(Scale, Normalizer), Offset, Epsilon));

    public void Run(GpuDevice device) => BoxPairs.Run(
        device, new Corners(), Boxes, Target, Weight, Loss, Elements, GradBoxes, LossFactor.Of(device, Scale, Normalizer), Offset, Epsilon);

    internal readonly struct Corners : IBoxPairs
    {
        public bool Counts(float weight) => weight != 0;

        public BoxNumbers Predicted(BoxNumbers prediction, long i) => prediction;

        public BoxNumbers Gradient(BoxNumbers corners) => corners;
    }
}
