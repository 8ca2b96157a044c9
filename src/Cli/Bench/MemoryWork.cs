using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Cli;

/// <summary>A model with a batch that can be trained for a step, on any device: a detector of the catalog or a ResNet classifier.</summary>
internal sealed class MemoryWork
{
    private const int Classes = 80;
    private const string Classifier = "resnet-";

    private readonly Func<Tensor, Tensor[]> losses;
    private readonly Shape shape;
    private float[]? values;

    /// <exception cref="DataException">No such model, or an image size that it cannot take.</exception>
    public MemoryWork(string name, int batch, int imageSize)
    {
        shape = new Shape(batch, imageSize, imageSize, 3);
        if (name.StartsWith(Classifier, StringComparison.Ordinal) && name[Classifier.Length..] is "18" or "34" or "50" or "101")
        {
            if (imageSize < 32 || imageSize % 32 != 0)
                throw new DataException($"model {name}: imgsz expects a multiple of 32 but is {imageSize}");
            var net = new ResNetClassifier(ResNetPlan.Of(int.Parse(name[Classifier.Length..])));
            (Model, Backbone) = (net, net);
            losses = images => [Losses.SoftmaxCrossEntropy(net.Logits(images), images.Scope.Upload<int>(
                [.. Enumerable.Range(0, batch)], new Shape(batch), "classes", DType.I32))];
        }
        else
        {
            var detector = ModelCatalog.Create(name, [.. Enumerable.Range(0, Classes).Select(i => $"class {i}")]);
            detector.Info.CheckImageSize(imageSize);
            (Model, Backbone) = (detector, detector.Backbone);
            float side = imageSize;
            var targets = new Targets([.. Enumerable.Repeat<float[]>([0.2f * side, 0.3f * side, 0.7f * side, 0.6f * side], batch)], [.. Enumerable.Repeat<int[]>([7], batch)]);
            losses = images => detector.Loss(images, targets).Values;
        }
    }

    public Module Model { get; }

    public Backbone Backbone { get; }

    public StepMemory Estimate() => new(Model, Backbone, Images, losses);

    /// <summary>Forward, losses and backward.</summary>
    public void Differentiate(StepScope scope) => scope.Backward(losses(Images(scope)));

    private Tensor Images(StepScope scope)
    {
        if (scope.Device.HoldsValues && values is null)
        {
            var random = new CounterRandom(1);
            values = [.. Enumerable.Range(0, checked((int)shape.Length)).Select(i => (float)random.At((ulong)i).Uniform(-2, 2))];
        }
        return scope.Upload<float>(values, shape, "images");
    }
}
