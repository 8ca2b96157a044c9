using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Modulated deformable 3×3, batch norm, ReLU, then bilinear to twice the size with aligned corners.</summary>
internal sealed class UpBlock : UnaryModule
{
    private readonly ModulatedDeformConv2d deform;
    private readonly BatchNorm2d norm;

    public UpBlock(int inChannels, int outChannels)
    {
        deform = Add("deform", new ModulatedDeformConv2d(inChannels, outChannels, 3));
        norm = Add("norm", new BatchNorm2d(outChannels));
    }

    public override Tensor Forward(Tensor x)
    {
        var y = norm.Forward(deform.Forward(x), Activation.Relu, consume: true);
        return Functional.UpsampleBilinear(y, 2 * y.Shape[1], 2 * y.Shape[2], alignCorners: true);
    }
}
