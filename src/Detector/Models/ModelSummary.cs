using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>One stage of a model: the shape of its output (N,H,W,C) and what it computes for it.</summary>
internal sealed record StageSummary(string Name, int[] Shape, double Gmac);

/// <summary>Size and cost of a model for one image.</summary>
/// <param name="Name">Row of the <see cref="ModelCatalog"/>.</param>
/// <param name="Classes">Number of classes.</param>
/// <param name="ImageSize">Side of the square input in pixels.</param>
/// <param name="Parameters">Trainable numbers.</param>
/// <param name="Gmac">10⁹ multiply-accumulates of convolutions and linear layers.</param>
/// <param name="Stages">In the order they run; costs add up to <paramref name="Gmac"/>.</param>
internal sealed record ModelSummary(string Name, int Classes, int ImageSize, long Parameters, double Gmac, IReadOnlyList<StageSummary> Stages)
{
    /// <exception cref="DataException">No such model, no classes, or an image size that the model cannot take.</exception>
    public static ModelSummary Of(string name, int classes, int imageSize)
    {
        var model = ModelCatalog.Create(name, [.. Enumerable.Range(0, classes).Select(i => $"class {i}")]);
        model.Info.CheckImageSize(imageSize);
        using var device = new ShapeDevice();
        using var weights = new FrozenWeights(model, device);
        using var scope = new StepScope(device, record: false);
        var stages = new List<StageSummary>();
        long before = 0;
        model.Trace(scope.Rent(new Shape(1, imageSize, imageSize, 3), "images"), (stage, output) =>
        {
            stages.Add(new(stage, output.Shape.ToArray(), Giga(device.MultiplyAccumulates - before)));
            before = device.MultiplyAccumulates;
        });
        long parameters = model.NamedParameters().Sum(p => p.Parameter.Shape.Length);
        return new(name, classes, imageSize, parameters, Giga(device.MultiplyAccumulates), stages);
    }

    private static double Giga(long count) => count / 1e9;
}
