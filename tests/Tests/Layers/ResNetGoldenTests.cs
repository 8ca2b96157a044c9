using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>A whole classifier against the reference: inference, gradients of one step, running statistics, three SGD steps.</summary>
public sealed class ResNetGoldenTests
{
    private sealed class Block : Module
    {
        private readonly Conv2d conv1, conv2;
        private readonly BatchNorm2d bn1, bn2;
        private readonly Conv2d? shortcut;
        private readonly BatchNorm2d? shortcutNorm;

        public Block(int inChannels, int channels, int stride)
        {
            conv1 = Add("conv1", new Conv2d(inChannels, channels, 3, stride, bias: false));
            bn1 = Add("bn1", new BatchNorm2d(channels));
            conv2 = Add("conv2", new Conv2d(channels, channels, 3, bias: false));
            bn2 = Add("bn2", new BatchNorm2d(channels));
            if (stride == 1 && inChannels == channels)
                return;
            shortcut = new Conv2d(inChannels, channels, 1, stride, bias: false);
            shortcutNorm = new BatchNorm2d(channels);
            Add("downsample", new LayerTest.Holder(("0", shortcut), ("1", shortcutNorm)));
        }

        public Tensor Forward(Tensor x)
        {
            var identity = shortcut is null ? x : shortcutNorm!.Forward(shortcut.Forward(x), consume: true);
            var y = bn1.Forward(conv1.Forward(x), Activation.Relu, consume: true);
            return bn2.Forward(conv2.Forward(y), Activation.Relu, identity, consume: true);
        }
    }

    private sealed class ResNet18 : Module
    {
        private readonly Conv2d conv1;
        private readonly BatchNorm2d bn1;
        private readonly List<Block> blocks = [];
        private readonly Linear fc;

        public ResNet18(int[] widths, int classes)
        {
            conv1 = Add("conv1", new Conv2d(3, widths[0], 7, 2, bias: false));
            bn1 = Add("bn1", new BatchNorm2d(widths[0]));
            for (int stage = 0; stage < 4; stage++)
            {
                blocks.Add(new Block(widths[Math.Max(0, stage - 1)], widths[stage], stage == 0 ? 1 : 2));
                blocks.Add(new Block(widths[stage], widths[stage], 1));
                Add($"layer{stage + 1}", new LayerTest.Holder(("0", blocks[^2]), ("1", blocks[^1])));
            }
            fc = Add("fc", new Linear(widths[3], classes));
        }

        public Tensor Forward(Tensor x)
        {
            x = Functional.MaxPool(bn1.Forward(conv1.Forward(x), Activation.Relu, consume: true), Window.Square(3, 2, 1));
            foreach (var block in blocks)
                x = block.Forward(x);
            return fc.Forward(Average(x));
        }
    }

    [Theory]
    [MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void NarrowResNet18(int lanes)
    {
        var file = GoldenFile.Load(GoldenFolder.Require("models", "resnet18_narrow", "weights_eval_train.safetensors"));
        using var device = new CpuDevice(2, (VectorWidth)lanes);
        var net = new ResNet18([.. Enumerable.Range(1, 4).Select(i => file.Shape($"w.layer{i}.0.conv1.weight")[0])], file.Shape("w.fc.weight")[0]);
        using var set = new ParameterSet(net, device, 1);
        foreach (var (name, view) in set.SlicesOf(set.Values).Concat(set.BufferSlicesOf(set.Buffers)))
            device.Upload<float>(ChannelsLast(file, "w." + name), view);
        Assert.Equal(file.Names.Count(n => n.StartsWith("w.")), set.Named.Count + set.NamedBuffers.Count * 3 / 2); // and num_batches_tracked
        using var optimizer = new Sgd(set, momentum: 0.9f, weightDecay: 1e-4f);

        KernelTest.Close(file.F64("eval_logits"), Evaluate(), new Tolerance(1e-4, 1e-4), "eval_logits");
        net.Train(true);
        for (int step = 0; step < 3; step++)
        {
            set.BeginGradients();
            using var scope = new StepScope(device, record: true);
            var logits = net.Forward(Images(scope));
            if (step == 0)
                KernelTest.Close(file.F64("train_logits"), LayerTest.Read(logits), new Tolerance(1e-4, 1e-4), "train_logits");
            var loss = Losses.SoftmaxCrossEntropy(logits,
                scope.Upload<int>([.. file.I64("target").Select(t => (int)t)], new Shape(4), "classes", DType.I32));
            scope.Backward(loss);
            set.CompleteGradients();
            Assert.Equal(file.F64("train_losses")[step], LayerTest.Read(loss)[0], 1e-3);
            if (step == 0)
            {
                foreach (var (name, parameter) in set.Named)
                    KernelTest.Close(ChannelsLast(file, "grad." + name), LayerTest.Read(device, parameter.Gradient), new Tolerance(1e-3, 1e-3), name);
                foreach (var (name, buffer) in set.NamedBuffers)
                    KernelTest.Close(file.F32("after1." + name), LayerTest.Read(device, buffer.Value), Tolerance.Norm, name);
            }
            optimizer.Step(0.01f);
        }
        KernelTest.Close(file.F64("eval_logits_after_sgd"), Evaluate(), new Tolerance(2e-3, 1e-3), "eval_logits_after_sgd");

        float[] Evaluate()
        {
            net.Train(false);
            using var scope = new StepScope(device, record: false);
            return LayerTest.Read(net.Forward(Images(scope)));
        }

        Tensor Images(StepScope scope)
        {
            int[] shape = file.Shape("x");
            return scope.Upload<float>(ChannelsLast(file, "x"), new Shape(shape[0], shape[2], shape[3], shape[1]), "images");
        }
    }

    private static float[] ChannelsLast(GoldenFile file, string name) =>
        file.Shape(name).Length == 4 ? KernelTest.ToChannelsLast(file.F32(name), file.Shape(name)) : file.F32(name);

    /// <summary>Mean over all pixels: (N,H,W,C) to (N,C), on the host.</summary>
    private static Tensor Average(Tensor x)
    {
        int batch = x.Shape[0], pixels = x.Shape[1] * x.Shape[2], channels = x.Shape[3];
        var from = LayerTest.Read(x);
        var to = new float[batch * channels];
        for (int i = 0; i < from.Length; i++)
            to[i / (pixels * channels) * channels + i % channels] += from[i] / pixels;
        var y = x.Scope.Rent(new Shape(batch, channels), nameof(Average), x.RequiresGradient);
        x.Scope.Device.Upload<float>(to, y.View);
        x.Scope.Record(new AverageNode(x, y));
        return y;
    }

    private sealed class AverageNode(Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(Average);

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            int pixels = x.Shape[1] * x.Shape[2], channels = x.Shape[3];
            var from = LayerTest.Read(sink.Device, gradient);
            var to = new float[x.Shape.Length];
            for (int i = 0; i < to.Length; i++)
                to[i] = from[i / (pixels * channels) * channels + i % channels] / pixels;
            var (view, add) = sink.For(x);
            Assert.False(add);
            sink.Device.Upload<float>(to, view);
        }
    }
}
