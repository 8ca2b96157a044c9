using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// What a training step holds at most, from shapes alone: forward and backward pass run on a <see cref="ShapeDevice"/> and its pool counts. Scratch memory
/// that kernels take while they run is not in it.
/// </summary>
internal sealed class StepMemory : IDisposable
{
    private const int MostSegments = 16;

    private readonly ShapeDevice device = new();
    private readonly Backbone backbone;
    private readonly Func<StepScope, Tensor> images;
    private readonly Func<Tensor, Tensor[]> losses;
    private readonly ParameterSet parameters;

    /// <param name="model">Has no memory yet; gets it on a device of its own.</param>
    /// <param name="backbone">The model's.</param>
    /// <param name="images">Makes a batch in a scope.</param>
    /// <param name="losses">The model's losses of such a batch.</param>
    public StepMemory(Module model, Backbone backbone, Func<StepScope, Tensor> images, Func<Tensor, Tensor[]> losses)
    {
        (this.backbone, this.images, this.losses) = (backbone, images, losses);
        parameters = new ParameterSet(model, device, seed: 0);
    }

    /// <summary>Of a detector that is made for this purpose alone.</summary>
    public static StepMemory Of(DetectionModel model, int batch, int imageSize)
    {
        var targets = new Targets([.. Enumerable.Repeat(Array.Empty<float>(), batch)], [.. Enumerable.Repeat(Array.Empty<int>(), batch)]);
        return new(model, model.Backbone, scope => ModelInput.Normalize(scope, default, batch, imageSize, imageSize), x => model.Loss(x, targets).Values);
    }

    /// <summary>Weights alone.</summary>
    public long WeightBytes => parameters.Values.Buffer.Bytes;

    /// <summary>With everything kept.</summary>
    public RecomputePlan Stored() => Run([]);

    /// <summary>Of each number of stages, from the stem on, the best cuts into each number of segments.</summary>
    public IEnumerable<RecomputePlan> Plans()
    {
        var chain = Chain();
        for (int stages = 1; stages <= backbone.Ends.Count; stages++)
        {
            int steps = backbone.Ends[stages - 1];
            long behind = chain.Skip(steps).Sum(s => s.Held);
            for (int segments = 1; segments <= MostSegments; segments++)
                if (SegmentCuts.Find([.. chain.Take(steps)], [.. backbone.Ends.Skip(1)], behind, segments) is { } ends)
                    yield return Run(ends);
        }
    }

    public void Dispose()
    {
        parameters.Dispose();
        device.Dispose();
    }

    /// <param name="segments">As <see cref="Backbone.Segments"/>.</param>
    public RecomputePlan Run(IReadOnlyList<int> segments)
    {
        backbone.Segments = segments;
        parameters.BeginGradients();
        device.Pool.ResetPeak();
        long before = device.Pool.LiveBytes;
        using (var scope = new StepScope(device, record: true))
            scope.Backward(losses(images(scope)));
        return new(segments, backbone.Ends.Count(end => segments.Count > 0 && end <= segments[^1]), device.Pool.PeakBytes - before, Again(segments));
    }

    private double Again(IReadOnlyList<int> segments)
    {
        using var scope = new StepScope(device, record: false);
        var x = images(scope);
        long start = device.MultiplyAccumulates, again = 0;
        for (int i = 0; i < backbone.Steps.Count; i++)
        {
            x = backbone.Steps[i](x);
            if (segments.Count > 0 && i + 1 == segments[^1])
                again = device.MultiplyAccumulates - start;
        }
        return (double)again / (device.MultiplyAccumulates - start);
    }

    private List<StepBytes> Chain()
    {
        var chain = new List<StepBytes>();
        using var scope = new StepScope(device, record: true);
        var x = images(scope);
        foreach (var step in backbone.Steps)
        {
            long before = device.Pool.LiveBytes, input = x.View.Buffer.Bytes;
            x = step(x);
            chain.Add(new(device.Pool.LiveBytes - before, x.View.Buffer.Bytes, input + x.View.Buffer.Bytes));
        }
        return chain;
    }
}
