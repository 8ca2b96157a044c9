using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// y[i,o] = act(bias[o] + Σ_c x[i,c] · weight[o,c]). X (...,in), Weight (out,in), Bias none or (out), Y (...,out).
/// Gradients are <see cref="Gemm"/> (x and weight) and <see cref="ChannelSum"/> (bias).
/// </summary>
internal readonly record struct LinearForward(
    TensorView X, TensorView Weight, TensorView Bias, TensorView Y, Activation Activation = default) : IKernel
{
    public Cost Cost => new(2.0 * X.Shape.Rows * Weight.Length, X.Bytes + Weight.Bytes + Bias.Bytes + Y.Bytes);

    public void Validate()
    {
        const string operation = nameof(LinearForward);
        Check.Rank(operation, "weight", Weight, 2);
        int outputs = Weight.Shape[0], inputs = Weight.Shape[1];
        Check.That(!X.IsNone && X.Type == DType.F32 && X.Shape.Channels == inputs, operation, "x", $"f32 with {inputs} channels, as weight {Weight} has", X);
        Check.That(!Y.IsNone && Y.Type == DType.F32 && Y.Shape.Channels == outputs && Y.Length == X.Shape.Rows * outputs, operation, "y",
            $"f32 with {X.Shape.Rows} rows of {outputs} channels", Y);
        Check.Optional(operation, "bias", Bias, new Shape(outputs));
        Activation.Validate(operation);
        Check.Apart(operation, "x", X, "y", Y);
        Check.Apart(operation, "weight", Weight, "y", Y);
        Check.Apart(operation, "bias", Bias, "y", Y);
    }

    public unsafe void Run(CpuDevice device)
    {
        int outputs = Weight.Shape[0], inputs = Weight.Shape[1];
        Conv2dPlain.Forward(new(1, 1, (int)X.Shape.Rows, inputs, 1, (int)X.Shape.Rows, outputs, 1, Window.Square(1)), X.F32, Weight.F32, Bias.F32, Y.F32, Activation);
    }
}
