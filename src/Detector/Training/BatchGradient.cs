using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>
/// The gradient of a whole batch. Every rank takes its share of the pictures, in one piece or in several one after the other (gradient
/// accumulation). What the losses are divided by is counted over all pieces of all ranks first; so losses and gradients of the pieces just add up, to
/// those of one big batch. Only batch norm sees the pieces: its statistics are those of what runs at a time.
/// </summary>
internal sealed class BatchGradient(DetectionModel model, ParameterSet parameters, RankGroup ranks, int imageSize, int pieces) : IDisposable
{
    private readonly GradientReducer reducer = new(parameters, ranks.Group);

    /// <summary>Of the gradients.</summary>
    public CollectiveTraffic Traffic => reducer.Traffic;

    /// <summary>Leaves the sums over all ranks in the parameters' gradients.</summary>
    public BatchLosses Compute(Batch batch)
    {
        var device = ranks.Device;
        parameters.BeginGradients();
        using var goals = new StepScope(device, record: false);
        var parts = Enumerable.Range(0, pieces).Select(i => Share.Of(batch.Count, pieces, i)).ToArray();
        var goal = parts.Select(part => model.Encode(goals, TargetsOf(batch, part), new Shape(part.Count, imageSize, imageSize, 3))).ToArray();
        var normalizers = goal[0].Normalizers.View;
        foreach (var other in goal.Skip(1))
            device.Run(new AddInto(other.Normalizers.View, normalizers));
        ranks.Group.AllReduce(normalizers, Reduction.Sum);

        string[] names = [];
        float[] own = [];
        for (int i = 0; i < pieces; i++)
        {
            using var scope = new StepScope(device, record: true);
            int picture = imageSize * imageSize * 3;
            var images = ModelInput.Normalize(scope, batch.Pixels.AsSpan(parts[i].Start * picture, parts[i].Count * picture), parts[i].Count, imageSize, imageSize);
            var losses = model.Loss(images, goal[i], normalizers);
            bool last = i == pieces - 1;
            if (last)
                reducer.Begin();
            scope.Backward(losses.Values, last ? reducer.Complete : null);
            float[] values = [.. losses.Values.Select(Read)];
            own = i == 0 ? values : [.. own.Zip(values, (a, b) => a + b)];
            names = [.. losses.Parts.Select(p => p.Name)];
        }
        reducer.Finish();
        return new BatchLosses(names, ranks.Gather(own));
    }

    public void Dispose() => reducer.Dispose();

    private static Targets TargetsOf(Batch batch, Share part)
    {
        var boxes = batch.Boxes[part.Start..part.End];
        return new(
            [.. boxes.Select(picture => picture.SelectMany(b => new[] { b.X1, b.Y1, b.X2, b.Y2 }).ToArray())],
            [.. boxes.Select(picture => picture.Select(b => b.Class).ToArray())]);
    }

    private float Read(Tensor scalar)
    {
        Span<float> value = stackalloc float[1];
        ranks.Device.Download(scalar.View, value);
        return value[0];
    }
}

/// <summary>What every rank's pictures contributed to the parts of the loss.</summary>
internal sealed record BatchLosses(IReadOnlyList<string> Names, IReadOnlyList<float[]> ByRank)
{
    /// <summary>The parts of the whole batch's loss.</summary>
    public IReadOnlyList<(string Name, float Value)> Whole { get; } = [.. Names.Select((name, i) => (name, ByRank.Select(values => values[i]).Aggregate((a, b) => a + b)))];

    /// <summary>The first part that is not finite, or null.</summary>
    public string? Broken => Names.Where((_, i) => ByRank.Any(values => !float.IsFinite(values[i]))).FirstOrDefault();

    /// <summary>The one of several ranks that it comes from; null where more have it: batch norm over ranks passes on what is not finite.</summary>
    public int? BrokenRank
    {
        get
        {
            int[] broken = [.. Enumerable.Range(0, ByRank.Count).Where(rank => ByRank[rank].Any(value => !float.IsFinite(value)))];
            return ByRank.Count > 1 && broken is [var only] ? only : null;
        }
    }
}
