using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>Convolution without bias, batch norm and activation in one pass: children "conv" and "bn".</summary>
internal sealed class ConvBlock : UnaryModule
{
    private readonly Conv2d conv;
    private readonly BatchNorm2d norm;
    private readonly Activation activation;

    public ConvBlock(int inChannels, int outChannels, int kernel, int stride = 1, int dilation = 1, int groups = 1,
        Activation activation = default, Initializer? init = null)
    {
        conv = Add("conv", new Conv2d(inChannels, outChannels, kernel, stride, null, dilation, groups, bias: false, init: init));
        norm = Add("bn", new BatchNorm2d(outChannels));
        this.activation = activation;
    }

    public override Tensor Forward(Tensor x) => conv.Forward(x, norm, activation);
}
