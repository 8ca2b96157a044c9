using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// TTFNet (Liu et al. 2019): a backbone, three deformable upsampling blocks that come back to stride 4 with shortcuts of one, two
/// and three convolutions from the backbone, and two heads: a heatmap a class, whose peaks are the centres of objects, and the
/// distances left, top, right, bottom from a cell to the sides of the box it lies in, shared by all classes.
/// </summary>
internal sealed class TtfNet : DetectionModel
{
    private const int CellStride = 4;
    private const float SizeUnit = 16;
    private const float SizeWeight = 5;

    private readonly UpBlock up1, up2, up3;
    private readonly UnaryModule shortcut4, shortcut3, shortcut2, heatmap, size;
    private readonly float alpha;

    /// <param name="name">Name in the <see cref="ModelCatalog"/>.</param>
    /// <param name="classes">Class names.</param>
    /// <param name="backbone">Gives c2..c5.</param>
    /// <param name="alpha">Radius of the training targets as a share of half the box.</param>
    /// <param name="divisor">Every width behind the backbone is divided by it.</param>
    /// <param name="sizeConvolutions">3×3 convolutions of the size head.</param>
    /// <param name="rate">Default that of the residual backbones.</param>
    public TtfNet(string name, IReadOnlyList<string> classes, Backbone backbone, float alpha, int divisor = 1, int sizeConvolutions = 1,
        PublishedRate? rate = null)
    {
        Info = new ModelInfo(name, classes, CellStride, InputMultiple: 32, rate ?? new PublishedRate(0.016f, 128));
        this.alpha = alpha;
        var c = backbone.Channels;
        int wide = 256 / divisor, middle = 128 / divisor, narrow = 64 / divisor;

        Backbone = Add("backbone", backbone);
        up1 = Add("up1", new UpBlock(c[3], wide));
        up2 = Add("up2", new UpBlock(wide, middle));
        up3 = Add("up3", new UpBlock(middle, narrow));
        shortcut4 = Add("shortcut4", Shortcut(c[2], wide, convolutions: 1));
        shortcut3 = Add("shortcut3", Shortcut(c[1], middle, convolutions: 2));
        shortcut2 = Add("shortcut2", Shortcut(c[0], narrow, convolutions: 3));
        heatmap = Add("heatmap", Head(narrow, middle, convolutions: 2, classes.Count, deviation: 0.01f, Init.LogitOf(0.01f)));
        size = Add("size", Head(narrow, narrow, sizeConvolutions, 4, deviation: 0.001f, Init.Zero, Activation.Relu));
    }

    public override ModelInfo Info { get; }

    public override Backbone Backbone { get; }

    public override LossGoal Encode(StepScope scope, Targets targets, Shape images) => TtfGoal.Encode(
        scope, new Shape(images[0], images[1] / CellStride, images[2] / CellStride, Info.Classes.Count), targets, CellStride, alpha);

    public override LossParts Loss(Tensor images, LossGoal goal, TensorView normalizers)
    {
        CheckImages(nameof(Loss), images);
        var (logits, sizes) = Forward(images);
        var (heatmap, boxes, weights, totals) = ((TtfGoal)goal).In(images.Scope, normalizers);
        return new LossParts(
        [
            ("heatmap", Losses.HeatmapFocal(logits, heatmap, normalizer: totals.Peaks)),
            ("box", Losses.TtfBox(sizes, boxes, weights, CellStride, SizeWeight, totals.Weight)),
        ]);
    }

    public override RawDetection[][] Detect(Tensor images)
    {
        CheckImages(nameof(Detect), images);
        var (logits, sizes) = Forward(images);
        return TtfDecoder.Decode(logits, sizes, CellStride);
    }

    public override void Trace(Tensor images, StageObserver observer)
    {
        CheckImages(nameof(Trace), images);
        Forward(images, observer);
    }

    /// <summary>Heatmap logits (N,H/4,W/4,classes) and distances in input pixels (N,H/4,W/4,4).</summary>
    private (Tensor Logits, Tensor Sizes) Forward(Tensor images, StageObserver? observer = null)
    {
        var c = Backbone.Forward(images, observer);
        var x = Observe("up1", Functional.Add(up1.Forward(c[3]), shortcut4.Forward(c[2])));
        x = Observe("up2", Functional.Add(up2.Forward(x), shortcut3.Forward(c[1])));
        x = Observe("up3", Functional.Add(up3.Forward(x), shortcut2.Forward(c[0])));
        return (Observe("heatmap", heatmap.Forward(x)), Observe("size", Functional.Scale(size.Forward(x), SizeUnit)));

        Tensor Observe(string stage, Tensor output)
        {
            observer?.Invoke(stage, output);
            return output;
        }
    }

    /// <summary>3×3 convolutions with ReLU between them; nothing after the last, which is added.</summary>
    private static Sequential Shortcut(int inChannels, int outChannels, int convolutions)
    {
        var steps = new UnaryModule[convolutions];
        for (int i = 0; i < convolutions; i++)
            steps[i] = new Conv2d(i == 0 ? inChannels : outChannels, outChannels, 3,
                activation: i == convolutions - 1 ? Activation.None : Activation.Relu);
        return new Sequential(steps);
    }

    /// <summary>3×3 convolutions with ReLU, then a 1×1 to the output planes.</summary>
    private static Sequential Head(
        int inChannels, int channels, int convolutions, int outputs, float deviation, Initializer lastBias, Activation last = default)
    {
        var steps = new UnaryModule[convolutions + 1];
        for (int i = 0; i < convolutions; i++)
            steps[i] = new Conv2d(i == 0 ? inChannels : channels, channels, 3, activation: Activation.Relu, init: Init.Normal(deviation));
        steps[convolutions] = new Conv2d(channels, outputs, 1, activation: last, init: Init.Normal(deviation), biasInit: lastBias);
        return new Sequential(steps);
    }
}
