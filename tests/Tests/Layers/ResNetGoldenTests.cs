using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Whole classifiers against the reference: inference, gradients of one step, running statistics, three SGD steps.</summary>
public sealed class ResNetGoldenTests
{
    [Theory]
    [MemberData(nameof(KernelTest.Widths), MemberType = typeof(KernelTest))]
    public void NarrowResNet18(int lanes) => Check("resnet18_narrow", lanes);

    [Theory]
    [MemberData(nameof(KernelTest.Widths), MemberType = typeof(KernelTest))]
    public void NarrowResNet50(int lanes) => Check("resnet50_narrow", lanes);

    private static void Check(string model, int lanes)
    {
        var file = GoldenFile.Load(GoldenFolder.Require("models", model, "weights_eval_train.safetensors"));
        using var test = new KernelTest(lanes);
        var device = test.Device;
        var net = new ResNetClassifier(PlanOf(file), file.Shape("w.fc.weight")[0]);
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
            var logits = net.Logits(Images(scope));
            if (step == 0)
                KernelTest.Close(file.F64("train_logits"), LayerTest.Read(logits), new Tolerance(1e-4, 1e-4), "train_logits");
            var loss = Losses.SoftmaxCrossEntropy(logits,
                scope.Upload<int>([.. file.I64("target").Select(t => (int)t)], new Shape(file.Shape("target")[0]), "classes", DType.I32));
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
            return LayerTest.Read(net.Logits(Images(scope)));
        }

        Tensor Images(StepScope scope)
        {
            int[] shape = file.Shape("x");
            return scope.Upload<float>(ChannelsLast(file, "x"), new Shape(shape[0], shape[2], shape[3], shape[1]), "images");
        }
    }

    private static ResNetPlan PlanOf(GoldenFile file)
    {
        int[] stages = [1, 2, 3, 4];
        return new(file.Shape("w.conv1.weight")[0],
            [.. stages.Select(s => file.Shape($"w.layer{s}.0.conv1.weight")[0])],
            [.. stages.Select(s => Enumerable.Range(0, 99).TakeWhile(b => file.Has($"w.layer{s}.{b}.conv1.weight")).Count())],
            file.Has("w.layer1.0.conv3.weight"));
    }

    private static float[] ChannelsLast(GoldenFile file, string name) =>
        file.Shape(name).Length == 4 ? KernelTest.ToChannelsLast(file.F32(name), file.Shape(name)) : file.F32(name);
}
