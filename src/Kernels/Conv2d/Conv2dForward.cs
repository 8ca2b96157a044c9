using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// y[n,p,q,k] = act(bias[k] + Σ_{r,s,c} x[n, p·stride − pad + r·dilation, q·… + s·…, c] · weight[k,r,s,c]), positions outside x
/// count as zero; with groups, output channel k sees only the input channels of its group.
/// X (N,H,W,C), Weight (K,R,S,C/groups), Bias none or (K), Y (N,OH,OW,K).
/// </summary>
internal readonly record struct Conv2dForward(
    TensorView X, TensorView Weight, TensorView Bias, TensorView Y, Window Window, int Groups = 1, Activation Activation = default) : IKernel
{
    public Cost Cost => new(Shapes.Flops, X.Bytes + Weight.Bytes + Bias.Bytes + Y.Bytes);

    private Conv2dShapes Shapes => Conv2dShapes.Of(X, Weight, Y, Window, Groups);

    public void Validate()
    {
        const string operation = nameof(Conv2dForward);
        Conv2dShapes.Validate(operation, "x", X, "weight", Weight, "y", Y, Window, Groups);
        Activation.Validate(operation);
        Check.Optional(operation, "bias", Bias, new Shape(Weight.Shape[0]));
        Check.Apart(operation, "x", X, "y", Y);
        Check.Apart(operation, "weight", Weight, "y", Y);
        Check.Apart(operation, "bias", Bias, "y", Y);
    }

    public unsafe void Run(CpuDevice device) => Conv2dPlain.Forward(Shapes, X.F32, Weight.F32, Bias.F32, Y.F32, Activation);
}
