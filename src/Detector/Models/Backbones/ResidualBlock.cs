using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// y = relu(F(x) + shortcut(x)). Basic: F = 3×3/s, 3×3. Bottleneck: F = 1×1, 3×3/s, 1×1 to four times the planes. Each
/// convolution is followed by a norm and, but for the last, ReLU. The shortcut is a 1×1/s with norm where the shape changes.
/// </summary>
internal sealed class ResidualBlock : UnaryModule
{
    private readonly (Conv2d Convolution, BatchNorm2d Norm)[] steps;
    private readonly Projection? downsample;

    public ResidualBlock(int inChannels, int planes, int stride, bool bottleneck)
    {
        (int Channels, int Kernel, int Stride)[] plan = bottleneck
            ? [(planes, 1, 1), (planes, 3, stride), (4 * planes, 1, 1)]
            : [(planes, 3, stride), (planes, 3, 1)];
        OutChannels = plan[^1].Channels;
        steps = new (Conv2d, BatchNorm2d)[plan.Length];
        int from = inChannels;
        for (int i = 0; i < plan.Length; i++)
        {
            var (to, kernel, step) = plan[i];
            steps[i] = (Add($"conv{i + 1}", new Conv2d(from, to, kernel, step, bias: false)),
                Add($"bn{i + 1}", new BatchNorm2d(to)));
            from = to;
        }
        if (stride != 1 || inChannels != OutChannels)
            downsample = Add("downsample", new Projection(inChannels, OutChannels, stride));
    }

    public int OutChannels { get; }

    public override Tensor Forward(Tensor x)
    {
        var shortcut = downsample is null ? x : downsample.Forward(x);
        var y = x;
        for (int i = 0; i < steps.Length; i++)
            y = steps[i].Convolution.Forward(y, steps[i].Norm, Activation.Relu, i == steps.Length - 1 ? shortcut : null);
        return y;
    }

    private sealed class Projection : UnaryModule
    {
        private readonly Conv2d convolution;
        private readonly BatchNorm2d norm;

        public Projection(int inChannels, int outChannels, int stride)
        {
            convolution = Add("0", new Conv2d(inChannels, outChannels, 1, stride, bias: false));
            norm = Add("1", new BatchNorm2d(outChannels));
        }

        public override Tensor Forward(Tensor x) => convolution.Forward(x, norm);
    }
}
