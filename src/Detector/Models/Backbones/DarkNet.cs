using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// DarkNet-53 (Redmon and Farhadi 2018) without its classifier: a 3×3 to 32 channels, then five stages, each a 3×3/2 that doubles the
/// width and 1, 2, 8, 8, 4 residual blocks. The last four stages give c2..c5. Convolutions have no bias and are followed by
/// batch norm and leaky ReLU of slope 0.1; they start as N(0, √(2 / fan in)).
/// </summary>
internal sealed class DarkNet : Backbone
{
    private static readonly int[] Blocks = [1, 2, 8, 8, 4];

    private readonly ConvBlock stem;
    private readonly Sequential[] stages = new Sequential[Blocks.Length];
    private readonly int[] channels = new int[Blocks.Length];

    /// <param name="divisor">Every width is divided by it.</param>
    public DarkNet(int divisor = 1)
    {
        int width = 32 / divisor;
        stem = Add("stem", Convolution(3, width, 3));
        for (int i = 0; i < stages.Length; i++)
        {
            var steps = new UnaryModule[1 + Blocks[i]];
            steps[0] = Convolution(width, 2 * width, 3, stride: 2);
            width *= 2;
            for (int b = 1; b < steps.Length; b++)
                steps[b] = new Residual(width);
            stages[i] = Add($"stage{i + 1}", new Sequential(steps));
            channels[i] = width;
        }
    }

    public override IReadOnlyList<int> Channels => new ArraySegment<int>(channels, 1, 4);

    protected override IReadOnlyList<BackboneStep> Stem => [stem.Forward, .. stages[0].Steps.Select<UnaryModule, BackboneStep>(m => m.Forward)];

    protected override IReadOnlyList<Sequential> Stages => new ArraySegment<Sequential>(stages, 1, 4);

    private static ConvBlock Convolution(int inChannels, int outChannels, int kernel, int stride = 1) =>
        new(inChannels, outChannels, kernel, stride, activation: Activation.LeakyRelu(0.1f), init: Init.KaimingNormalFanIn);

    /// <summary>x + 3×3(1×1(x)), with half the channels in between and no activation after the sum.</summary>
    private sealed class Residual : UnaryModule
    {
        private readonly ConvBlock narrow, wide;

        public Residual(int channels)
        {
            narrow = Add("narrow", Convolution(channels, channels / 2, 1));
            wide = Add("wide", Convolution(channels / 2, channels, 3));
        }

        public override Tensor Forward(Tensor x) => Functional.Add(x, wide.Forward(narrow.Forward(x)));
    }
}
