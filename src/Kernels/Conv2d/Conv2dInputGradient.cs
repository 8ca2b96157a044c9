using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// Adjoint of <see cref="Conv2dForward"/> in x: gradX[n,i,j,c] = bias[c] + Σ gradY[n,p,q,k] · weight[k,r,s,c] over all (p,q,r,s,k)
/// with p·stride − pad + r·dilation = i, and q likewise j. Gather form: every element of gradX is written by one thread, once.
/// This is also transposed convolution forward: then gradY is its input, gradX its output (as large as output padding wants),
/// and <c>Bias</c> (C), absent in a gradient, its bias.
/// GradY (N,OH,OW,K), Weight (K,R,S,C/groups), GradX (N,H,W,C).
/// </summary>
internal readonly record struct Conv2dInputGradient(
    TensorView GradY, TensorView Weight, TensorView GradX, Window Window, int Groups = 1, bool Accumulate = false, TensorView Bias = default) : IKernel
{
    public Cost Cost => new(Shapes.Flops, GradY.Bytes + Weight.Bytes + Bias.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    private Conv2dShapes Shapes => Conv2dShapes.Of(GradX, Weight, GradY, Window, Groups);

    public void Validate()
    {
        const string operation = nameof(Conv2dInputGradient);
        Conv2dShapes.Validate(operation, "gradX", GradX, "weight", Weight, "gradY", GradY, Window, Groups);
        Check.Optional(operation, "bias", Bias, new Shape(GradX.Shape[3]));
        Check.Apart(operation, "gradY", GradY, "gradX", GradX);
        Check.Apart(operation, "weight", Weight, "gradX", GradX);
        Check.Apart(operation, "bias", Bias, "gradX", GradX);
    }

    public unsafe void Run(CpuDevice device) => Conv2dPlain.InputGradient(Shapes, GradY.F32, Weight.F32, GradX.F32, Bias.F32, Accumulate);
}
