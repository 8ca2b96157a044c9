using TorchSharp;
using static TorchSharp.torch;

namespace CudaKernels.Benchmarks;

/// <summary>The networks of the training steps, as in StepBench, out of libtorch's layers.</summary>
internal static class TorchSharpNets
{
    public const int Classes = 1000;

    private static readonly long[] Planes = [64, 128, 256, 512], Ups = [256, 128, 64];

    public static nn.Module<Tensor, Tensor> ResNet(int depth)
    {
        bool bottleneck = depth == 50;
        return nn.Sequential(Backbone(bottleneck ? [3, 4, 6, 3] : [2, 2, 2, 2], bottleneck), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(Planes[^1] * (bottleneck ? 4 : 1), Classes));
    }

    public static nn.Module<Tensor, Tensor[]> CenterNet(long classes) => new Detector(classes);

    private static nn.Module<Tensor, Tensor> Backbone(int[] blocks, bool bottleneck)
    {
        var layers = new List<nn.Module<Tensor, Tensor>> { Norm(3, 64, 7, stride: 2), nn.MaxPool2d(3, 2, 1) };
        long channels = 64;
        for (int stage = 0; stage < blocks.Length; stage++)
            for (int block = 0; block < blocks[stage]; block++)
            {
                var next = new Residual(channels, Planes[stage], block == 0 && stage > 0 ? 2 : 1, bottleneck);
                layers.Add(next);
                channels = next.OutChannels;
            }
        return nn.Sequential(layers);
    }

    private static nn.Module<Tensor, Tensor> Norm(long from, long to, long kernel, long stride = 1, bool relu = true)
    {
        var conv = nn.Conv2d(from, to, kernel, stride, (kernel - 1) / 2, bias: false);
        return relu ? nn.Sequential(conv, nn.BatchNorm2d(to), nn.ReLU(inplace: true)) : nn.Sequential(conv, nn.BatchNorm2d(to));
    }

    private sealed class Residual : nn.Module<Tensor, Tensor>
    {
        private readonly nn.Module<Tensor, Tensor> body;
        private readonly nn.Module<Tensor, Tensor>? shortcut;

        public Residual(long from, long planes, long stride, bool bottleneck) : base(nameof(Residual))
        {
            OutChannels = bottleneck ? 4 * planes : planes;
            body = bottleneck
                ? nn.Sequential(Norm(from, planes, 1), Norm(planes, planes, 3, stride), Norm(planes, OutChannels, 1, relu: false))
                : nn.Sequential(Norm(from, planes, 3, stride), Norm(planes, planes, 3, relu: false));
            if (stride != 1 || from != OutChannels)
                shortcut = Norm(from, OutChannels, 1, stride, relu: false);
            RegisterComponents();
        }

        public long OutChannels { get; }

        public override Tensor forward(Tensor x) => (body.call(x) + (shortcut?.call(x) ?? x)).relu_();
    }

    private sealed class Detector : nn.Module<Tensor, Tensor[]>
    {
        private readonly nn.Module<Tensor, Tensor> trunk, heatmap, size;

        public Detector(long classes) : base(nameof(Detector))
        {
            var layers = new List<nn.Module<Tensor, Tensor>> { Backbone([2, 2, 2, 2], bottleneck: false) };
            long channels = Planes[^1];
            foreach (long up in Ups)
            {
                layers.Add(Norm(channels, up, 3));
                layers.Add(nn.Upsample(scale_factor: [2, 2], mode: UpsampleMode.Bilinear, align_corners: false));
                channels = up;
            }
            trunk = nn.Sequential(layers);
            (heatmap, size) = (Head(128, classes), Head(64, 4));
            RegisterComponents();
        }

        public override Tensor[] forward(Tensor x)
        {
            var y = trunk.call(x);
            return [heatmap.call(y), size.call(y)];
        }

        private static nn.Module<Tensor, Tensor> Head(long middle, long outputs) =>
            nn.Sequential(nn.Conv2d(Ups[^1], middle, 3, padding: 1), nn.ReLU(), nn.Conv2d(middle, outputs, 1));
    }
}
