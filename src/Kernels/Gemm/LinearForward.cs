using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// y[i,o] = act(bias[o] + Σ_c x[i,c] · weight[o,c]). X (...,in), Weight (out,in), Bias none or (out), Y (...,out).
/// Gradients are <see cref="Gemm"/> (x and weight) and <see cref="ChannelSum"/> (bias).
/// </summary>
internal readonly record struct LinearForward(
    TensorView X, TensorView Weight, TensorView Bias, TensorView Y, Activation Activation = default) : IKernel, ISimdBody
{
    public Cost Cost => new(2.0 * X.Shape.Rows * Weight.Length, X.Bytes + Weight.Bytes + Bias.Bytes + Y.Bytes);

    public void Validate()
    {
        const string operation = nameof(LinearForward);
        Check.Rank(operation, "weight", Weight, 2);
        int outputs = Weight.Shape[0], inputs = Weight.Shape[1];
        if (X.IsNone || X.Type != DType.F32 || X.Shape.Channels != inputs)
            throw new KernelException($"{operation}: x expects f32 with {inputs} channels, as weight {Weight} has, but is {X}");
        if (Y.IsNone || Y.Type != DType.F32 || Y.Shape.Channels != outputs || Y.Length != X.Shape.Rows * outputs)
            throw new KernelException($"{operation}: y expects f32 with {X.Shape.Rows} rows of {outputs} channels but is {Y}");
        Check.Optional(operation, "bias", Bias, new Shape(outputs));
        Activation.Validate(operation);
        Check.Apart(operation, "x", X, "y", Y);
        Check.Apart(operation, "weight", Weight, "y", Y);
        Check.Apart(operation, "bias", Bias, "y", Y);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public void Run(GpuDevice device)
    {
        int outputs = Weight.Shape[0], inputs = Weight.Shape[1];
        using var sides = new ProductSides(device, X, inputs, Weight, inputs, 1, nameof(LinearForward));
        GpuProduct.Run(device, new MatrixOperand(sides.A, inputs), new MatrixOperand(sides.B, inputs), new(checked((int)X.Shape.Rows), outputs, inputs),
            ProductTarget.Matrix(device.F32(Y), outputs, 0) with
            {
                Wide = ProductTarget.IsWide(outputs, Y),
                Bias = device.F32(Bias),
                HasBias = Bias.IsNone ? 0 : 1,
                Factor = Activation.Factor,
            },
            sides.Access, nameof(LinearForward));
    }

    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int outputs = Weight.Shape[0], inputs = Weight.Shape[1], zeroTap = 0;
        ImplicitGemm.Run<TVector>(device, Gather.Matrix((int)X.Shape.Rows, X.F32, inputs, inputs, 1, Weight.F32, 1, inputs, Y.F32, outputs, &zeroTap)
            with
        { Bias = Bias.F32, Factor = Activation.Factor }, nameof(LinearForward));
    }
}
