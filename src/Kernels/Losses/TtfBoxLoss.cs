using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// TTFNet's box loss over a map: the cell in column i, row j predicts distances l,t,r,b in pixels, i.e. the box
/// (s·i − l, s·j − t, s·i + r, s·j + b) with s the stride and no half-pixel shift;
///   Loss = Scale · Σ w (1 − GIoU) / (Normalizer + 1e-4)   over cells with w &gt; 0, GIoU with widths x2−x1+1.
/// The normalizer is what <see cref="WeightTotal"/> summed (over all ranks, when there are several).
/// </summary>
/// <param name="Prediction">f32(N,H,W,4): l,t,r,b, already multiplied by 16.</param>
/// <param name="Target">f32(N,H,W,4): corners in pixels of the input.</param>
/// <param name="Weight">f32(N,H,W).</param>
/// <param name="Loss">f32[1], written.</param>
/// <param name="GradPrediction">Optional, written; zero where w is not positive.</param>
/// <param name="Normalizer">Optional f32[1]; absent: the plain weighted sum.</param>
/// <param name="Stride">Input pixels per cell.</param>
/// <param name="Scale">Weight of the loss.</param>
internal readonly unsafe record struct TtfBoxLoss(
    TensorView Prediction, TensorView Target, TensorView Weight, TensorView Loss, TensorView GradPrediction = default,
    TensorView Normalizer = default, int Stride = 4, float Scale = 1) : IKernel
{
    private const float NormalizerOffset = 1e-4f;

    public Cost Cost => new(4.0 * Prediction.Length, Weight.Bytes + GradPrediction.Bytes);

    public void Validate()
    {
        const string operation = nameof(TtfBoxLoss);
        Check.Rank(operation, "prediction", Prediction, 4);
        Check.That(Prediction.Shape[3] == 4, operation, "prediction", "f32(N,H,W,4)", Prediction);
        Check.Shape(operation, "target", Target, Prediction.Shape);
        Check.Shape(operation, "weight", Weight, new Shape(Prediction.Shape[0], Prediction.Shape[1], Prediction.Shape[2]));
        Check.Optional(operation, "gradient", GradPrediction, Prediction.Shape);
        LossCheck.Total(operation, Loss, Normalizer);
        Check.Apart(operation, "gradient", GradPrediction, "prediction", Prediction);
        Check.Apart(operation, "gradient", GradPrediction, "target", Target);
    }

    public void Run(CpuDevice device)
    {
        float factor = Normalizer.IsNone ? Scale : Scale / (*Normalizer.F32 + NormalizerOffset);
        device.Dispatch(new BoxPairs<Cells>(
            new Cells(Prediction.Shape[1], Prediction.Shape[2], Stride), Prediction, Target, Weight, Loss, default, GradPrediction, factor, 1, 0));
    }

    public void Run(GpuDevice device) => BoxPairs.Run(
        device, new Cells(Prediction.Shape[1], Prediction.Shape[2], Stride), Prediction, Target, Weight, Loss, default, GradPrediction,
        LossFactor.Of(device, Scale, Normalizer, NormalizerOffset), 1, 0);

    internal readonly struct Cells(int height, int width, int stride) : IBoxPairs
    {
        public bool Counts(float weight) => weight > 0;

        public BoxNumbers Predicted(BoxNumbers sides, long i)
        {
            float x = i % width * stride, y = i / width % height * stride;
            return new(x - sides.X1, y - sides.Y1, x + sides.X2, y + sides.Y2);
        }

        public BoxNumbers Gradient(BoxNumbers corners) => new(-corners.X1, -corners.Y1, corners.X2, corners.Y2);
    }
}
