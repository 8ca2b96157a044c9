using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Cli;

/// <summary>Cases that are a whole network: inference, or forward, losses, backward and SGD step. Each method returns the work to time.</summary>
internal static class StepBench
{
    private const float LearningRate = 0.01f;

    public static Action ResNet18Forward(BenchCase c, BenchTensors t)
    {
        var net = new ResNetClassifier(ResNetPlan.Of(18));
        t.Hold(new ParameterSet(net, t.Device, seed: 1));
        net.Train(false);
        var images = Images(c, t);
        return () =>
        {
            using var scope = new StepScope(t.Device, record: false);
            net.Logits(scope.Borrow(images, nameof(images)));
        };
    }

    public static Action ResNet18Step(BenchCase c, BenchTensors t) => ClassifierStep(c, t, 18);

    public static Action ResNet50Step(BenchCase c, BenchTensors t) => ClassifierStep(c, t, 50);

    public static Action CenterNetStep(BenchCase c, BenchTensors t)
    {
        int classes = c["classes"], batch = c["n"], height = c["h"] / 4, width = c["w"] / 4;
        var net = new PlainCenterNet(classes);
        TensorView images = Images(c, t), heat = t.Heatmap(batch, height, width, classes), box = t.Normal(batch, height, width, 4);
        var cells = t.Constant(box.Length, 1); // the mean over them
        return Step(t, net, scope =>
        {
            var (heatmap, size) = net.Forward(scope.Borrow(images, nameof(images)));
            scope.Backward(Losses.HeatmapFocal(heatmap, scope.Borrow(heat, nameof(heat))),
                Losses.L1(size, scope.Borrow(box, nameof(box)), normalizer: scope.Borrow(cells, nameof(cells))));
        });
    }

    private static Action ClassifierStep(BenchCase c, BenchTensors t, int depth)
    {
        const int classes = 1000;
        var net = new ResNetClassifier(ResNetPlan.Of(depth), classes);
        var images = Images(c, t);
        var target = t.Indices(c["n"]);
        t.Device.Upload<int>([.. Enumerable.Range(0, c["n"]).Select(i => i * 37 % classes)], target);
        return Step(t, net, scope => scope.Backward(
            Losses.SoftmaxCrossEntropy(net.Logits(scope.Borrow(images, nameof(images))), scope.Borrow(target, nameof(target)))));
    }

    /// <summary>One training step around what computes the losses and walks back from them.</summary>
    private static Action Step(BenchTensors t, Module net, Action<StepScope> lossesAndBackward)
    {
        var set = t.Hold(new ParameterSet(net, t.Device, seed: 1));
        var optimizer = t.Hold(new Sgd(set, momentum: 0.9f, weightDecay: 1e-4f));
        return () =>
        {
            set.BeginGradients();
            using (var scope = new StepScope(t.Device, record: true))
                lossesAndBackward(scope);
            set.CompleteGradients();
            optimizer.Step(LearningRate);
        };
    }

    private static TensorView Images(BenchCase c, BenchTensors t) => t.Normal(c["n"], c["h"], c["w"], 3);

    /// <summary>
    /// ResNet-18, three times (3x3 convolution, batch norm, ReLU, bilinear to twice the size) of 256, 128 and 64 channels, and two heads: a 3x3 with ReLU
    /// and a 1x1 each. CenterNet without deformable convolutions, which not every peer has.
    /// </summary>
    private sealed class PlainCenterNet : Module
    {
        private static readonly int[] Widths = [256, 128, 64];

        private readonly ResNet backbone;
        private readonly ConvBlock[] ups = new ConvBlock[Widths.Length];
        private readonly Sequential heatmap, size;

        public PlainCenterNet(int classes)
        {
            backbone = Add("backbone", new ResNet(ResNetPlan.Of(18)));
            int channels = backbone.Channels[^1];
            for (int i = 0; i < ups.Length; i++, channels = Widths[i - 1])
                ups[i] = Add($"up{i + 1}", new ConvBlock(channels, Widths[i], 3, activation: Activation.Relu));
            heatmap = Add("heatmap", Head(128, classes));
            size = Add("size", Head(64, 4));
        }

        public (Tensor Heatmap, Tensor Size) Forward(Tensor images)
        {
            var x = backbone.Forward(images)[^1];
            foreach (var up in ups)
            {
                x = up.Forward(x);
                x = Functional.UpsampleBilinear(x, 2 * x.Shape[1], 2 * x.Shape[2], alignCorners: false);
            }
            return (heatmap.Forward(x), size.Forward(x));
        }

        private static Sequential Head(int middle, int outputs) =>
            new(new Conv2d(Widths[^1], middle, 3, activation: Activation.Relu), new Conv2d(middle, outputs, 1));
    }
}
