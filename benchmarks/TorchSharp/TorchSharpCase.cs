using CudaKernels.Cli;
using TorchSharp;
using static TorchSharp.torch;

namespace CudaKernels.Benchmarks;

/// <summary>The work of a case in libtorch, channels first as it prefers: inputs are made once, gradients asked for by name.</summary>
internal sealed class TorchSharpCase : IDisposable
{
    private readonly DisposeScope inputs = NewDisposeScope();
    private readonly Action work;

    public TorchSharpCase(BenchCase c)
    {
        try
        {
            work = Prepare(c);
        }
        catch
        {
            inputs.Dispose();
            throw;
        }
    }

    public void Run()
    {
        using var scope = NewDisposeScope();
        work();
    }

    public void Dispose() => inputs.Dispose();

    private static Action Prepare(BenchCase c) => c.Operation switch
    {
        "conv2d_forward" => Forward(c),
        "conv2d_backward" => Gradients(Leaf(c), Weight(c), (x, weight) => Convolve(c, x, weight)),
        "batch_norm_train" => Layer(Leaf(c), nn.BatchNorm2d(c["cin"])),
        "group_norm_train" => Layer(Leaf(c), nn.GroupNorm(c["groups"], c["cin"])),
        "conv_bn_relu_train" => Layer(Leaf(c), nn.Sequential(
            nn.Conv2d(c["cin"], c["cout"], c["kernel"], c["stride"], c["padding"], bias: false), nn.BatchNorm2d(c["cout"]), nn.ReLU())),
        "max_pool_train" => Layer(Leaf(c), nn.MaxPool2d(c["kernel"], c["stride"], c["padding"])),
        "upsample_bilinear_train" => Layer(Leaf(c), nn.Upsample(scale_factor: [c["scale"], c["scale"]], mode: UpsampleMode.Bilinear, align_corners: false)),
        "heatmap_focal_loss_train" => Focal(Leaf(c), Heat(c["n"], c["cin"], c["h"], c["w"])),
        "sgd_momentum_step" => Sgd(c["parameters"]),
        "resnet18_train_step" => Classify(c, TorchSharpNets.ResNet(18)),
        "resnet50_train_step" => Classify(c, TorchSharpNets.ResNet(50)),
        "centernet18_plain_train_step" => Detect(c),
        _ => throw new NotSupportedException($"{c.Name}: TorchSharp has no {c.Operation}"),
    };

    private static Tensor Leaf(BenchCase c) => randn(c["n"], c["cin"], c["h"], c["w"], requires_grad: true);

    private static Tensor Weight(BenchCase c) => randn(c["cout"], c["cin"], c["kernel"], c["kernel"], requires_grad: true);

    private static Tensor Heat(long batch, long classes, long height, long width)
    {
        var peaks = rand(batch, classes, height, width).pow(8);
        return where(peaks.gt(0.97), ones_like(peaks), peaks);
    }

    private static Tensor Convolve(BenchCase c, Tensor x, Tensor weight) =>
        nn.functional.conv2d(x, weight, strides: [c["stride"], c["stride"]], padding: [c["padding"], c["padding"]]);

    private static Action Forward(BenchCase c)
    {
        Tensor x = Leaf(c), weight = Weight(c);
        return () =>
        {
            using var values = no_grad();
            Convolve(c, x, weight);
        };
    }

    /// <summary>The backward pass alone.</summary>
    private static Action Gradients(Tensor x, Tensor weight, Func<Tensor, Tensor, Tensor> forward)
    {
        var y = forward(x, weight);
        var gradient = randn_like(y);
        return () => autograd.grad([y], [x, weight], [gradient], retain_graph: true);
    }

    private static Action Layer(Tensor x, nn.Module<Tensor, Tensor> layer)
    {
        layer.train();
        var gradient = randn_like(layer.call(x));
        Tensor[] wanted = [x, .. layer.parameters()];
        return () => autograd.grad([layer.call(x)], wanted, [gradient]);
    }

    private static Action Focal(Tensor logits, Tensor target) => () => autograd.grad([FocalLoss(logits, target)], [logits]);

    private static Tensor FocalLoss(Tensor logits, Tensor target)
    {
        var p = logits.sigmoid().clamp(1e-4, 1 - 1e-4);
        var peak = target.eq(1).to_type(ScalarType.Float32);
        var terms = (1 - p).pow(2) * p.log() * peak + p.pow(2) * (1 - p).log() * (1 - target).pow(4) * (1 - peak);
        return -terms.sum() / peak.sum().clamp_min(1);
    }

    private static Action Sgd(long count)
    {
        var parameter = nn.Parameter(randn(count));
        parameter.grad = randn(count);
        var optimizer = optim.SGD([parameter], 0.01, momentum: 0.9, weight_decay: 1e-4);
        return () => optimizer.step();
    }

    private static Action Classify(BenchCase c, nn.Module<Tensor, Tensor> net)
    {
        Tensor images = randn(c["n"], 3, c["h"], c["w"]), classes = randint(0, TorchSharpNets.Classes, [c["n"]], dtype: ScalarType.Int64);
        return Step(net, () => nn.functional.cross_entropy(net.call(images), classes));
    }

    private static Action Detect(BenchCase c)
    {
        int height = c["h"] / 4, width = c["w"] / 4;
        var net = TorchSharpNets.CenterNet(c["classes"]);
        Tensor images = randn(c["n"], 3, c["h"], c["w"]), heat = Heat(c["n"], c["classes"], height, width), box = randn(c["n"], 4, height, width);
        return Step(net, () =>
        {
            var maps = net.call(images);
            return FocalLoss(maps[0], heat) + nn.functional.l1_loss(maps[1], box);
        });
    }

    private static Action Step(nn.Module net, Func<Tensor> loss)
    {
        net.train();
        var optimizer = optim.SGD(net.parameters(), 0.01, momentum: 0.9, weight_decay: 1e-4);
        return () =>
        {
            optimizer.zero_grad();
            loss().backward();
            optimizer.step();
        };
    }
}
