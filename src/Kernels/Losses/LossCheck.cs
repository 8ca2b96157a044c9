namespace CudaKernels.Kernels;

/// <summary>What all losses ask of their arguments.</summary>
internal static class LossCheck
{
    /// <summary>Element-wise loss: every view has the shape of x, the total and the normalizer hold one number.</summary>
    public static void Elementwise(
        string operation, TensorView x, TensorView target, TensorView loss, TensorView gradient,
        TensorView elements = default, TensorView weight = default, TensorView normalizer = default)
    {
        Check.That(!x.IsNone && x.Type == DType.F32, operation, "prediction", "f32", x);
        Check.Shape(operation, "target", target, x.Shape);
        Check.Optional(operation, "weight", weight, x.Shape);
        Check.Optional(operation, "elements", elements, x.Shape);
        Check.Optional(operation, "gradient", gradient, x.Shape);
        Total(operation, loss, normalizer);
        Check.Apart(operation, "gradient", gradient, "prediction", x);
        Check.Apart(operation, "gradient", gradient, "target", target);
        Check.Apart(operation, "gradient", gradient, "weight", weight);
        Check.Apart(operation, "gradient", gradient, "elements", elements);
    }

    public static void Total(string operation, TensorView loss, TensorView normalizer)
    {
        Check.Shape(operation, "loss", loss, new Shape(1));
        Check.Optional(operation, "normalizer", normalizer, new Shape(1));
        Check.Apart(operation, "loss", loss, "normalizer", normalizer);
    }

    /// <summary>scale / normalizer; no normalizer, or one of zero (nothing counted), divides by one.</summary>
    public static unsafe float Factor(float scale, TensorView normalizer)
    {
        float divisor = normalizer.IsNone ? 1 : *normalizer.F32;
        return divisor == 0 ? scale : scale / divisor;
    }
}
