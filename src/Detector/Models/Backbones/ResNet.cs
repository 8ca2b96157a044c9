using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// ResNet (He et al. 2015) without its classifier: 7×7/2 convolution, 3×3/2 max pooling, four stages of residual blocks that,
/// from the second on, halve the map. The stride of a bottleneck sits in its 3×3. Parameter names are those of the published
/// PyTorch state dictionaries. Convolutions keep the layer's default start, N(0, √(2 / fan out)).
/// </summary>
internal class ResNet : Backbone
{
    private readonly Conv2d conv1;
    private readonly BatchNorm2d bn1;
    private readonly Sequential[] stages = new Sequential[4];
    private readonly int[] channels = new int[4];

    public ResNet(ResNetPlan plan)
    {
        int inChannels = plan.Stem;
        conv1 = Add("conv1", new Conv2d(3, inChannels, 7, stride: 2, bias: false));
        bn1 = Add("bn1", new BatchNorm2d(inChannels));
        for (int i = 0; i < stages.Length; i++)
        {
            var stage = new UnaryModule[plan.Blocks[i]];
            for (int b = 0; b < stage.Length; b++)
            {
                var block = new ResidualBlock(inChannels, plan.Planes[i], stride: b == 0 && i > 0 ? 2 : 1, plan.Bottleneck);
                stage[b] = block;
                inChannels = block.OutChannels;
            }
            stages[i] = Add($"layer{i + 1}", new Sequential(stage));
            channels[i] = inChannels;
        }
    }

    public override IReadOnlyList<int> Channels => channels;

    protected override IReadOnlyList<BackboneStep> Stem =>
        [images => Functional.MaxPool(conv1.Forward(images, bn1, Activation.Relu), Window.Square(3, stride: 2, padding: 1))];

    protected override IReadOnlyList<Sequential> Stages => stages;
}
