using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// gradWeight[k,r,s,c] (+)= Σ_{n,p,q} gradY[n,p,q,k] · x[n, p·stride − pad + r·dilation, q·… + s·…, c].
/// X (N,H,W,C), GradY (N,OH,OW,K), GradWeight (K,R,S,C/groups). The bias gradient is <see cref="ChannelSum"/> of gradY.
/// </summary>
internal readonly record struct Conv2dWeightGradient(
    TensorView X, TensorView GradY, TensorView GradWeight, Window Window, int Groups = 1, bool Accumulate = false) : IKernel
{
    public Cost Cost => new(Shapes.Flops, X.Bytes + GradY.Bytes + GradWeight.Bytes * (Accumulate ? 2 : 1));

    private Conv2dShapes Shapes => Conv2dShapes.Of(X, GradWeight, GradY, Window, Groups);

    public void Validate()
    {
        const string operation = nameof(Conv2dWeightGradient);
        Conv2dShapes.Validate(operation, "x", X, "gradWeight", GradWeight, "gradY", GradY, Window, Groups);
        Check.Apart(operation, "x", X, "gradWeight", GradWeight);
        Check.Apart(operation, "gradY", GradY, "gradWeight", GradWeight);
    }

    public unsafe void Run(CpuDevice device) => Conv2dPlain.WeightGradient(Shapes, X.F32, GradY.F32, GradWeight.F32, Accumulate);
}
