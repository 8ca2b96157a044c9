using System.Runtime.InteropServices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Ground truth and what a model found, in the form the metrics take.</summary>
internal sealed record EvaluatedSet(CocoGroundTruth Truth, IReadOnlyList<CocoDetection> Detections)
{
    /// <summary>The same by the rules of VOC; null where the ground truth does not come from a data set.</summary>
    public VocResult? Voc { get; init; }
}

/// <summary>
/// Runs a model over a data set, on all ranks together: each takes consecutive batches, and everyone gets what all have found, in the order of the
/// pictures. Batches are the same for any number of ranks, so the result is, too. Pictures are read on worker threads one batch ahead of the network.
/// </summary>
internal static class Evaluator
{
    private const int BatchSize = 8;

    /// <param name="model">With its weights in place, the same on all ranks; left in training or inference mode as it came.</param>
    /// <param name="imageSize">Side of the network input.</param>
    /// <param name="ranks">Who takes part.</param>
    /// <param name="dataset">The same on all ranks.</param>
    /// <param name="workers">Threads that read pictures.</param>
    /// <param name="progress">Pictures done and in all, of this rank's share.</param>
    /// <param name="stop">Ends early with what has been found so far.</param>
    public static EvaluatedSet Run(DetectionModel model, int imageSize, RankGroup ranks, IDataset dataset, int workers,
        Action<int, int> progress, CancellationToken stop)
    {
        bool training = model.IsTraining;
        model.Train(false);
        var found = ranks.Together(() => Detect(model, imageSize, ranks, dataset, workers, progress, stop));
        model.Train(training);
        CocoDetection[] detections = [.. ranks.Gather(MemoryMarshal.AsBytes<Found>(found.ToArray()).ToArray())
            .SelectMany(bytes => MemoryMarshal.Cast<byte, Found>(bytes).ToArray())
            .Select(f => new CocoDetection(dataset.Read(f.Picture).Id, dataset.CategoryIds[f.Class], f.Box.X1, f.Box.Y1, f.Box.Width, f.Box.Height, f.Score))];
        return new EvaluatedSet(Truth(dataset), detections) { Voc = Voc(dataset, detections) };
    }

    /// <summary>A detection on its way between ranks: numbers alone.</summary>
    private readonly record struct Found(int Picture, int Class, Box Box, float Score);

    private static List<Found> Detect(DetectionModel model, int imageSize, RankGroup ranks, IDataset dataset, int workers,
        Action<int, int> progress, CancellationToken stop)
    {
        var batches = Share.Of((dataset.Count + BatchSize - 1) / BatchSize, ranks.Size, ranks.Rank);
        int start = Math.Min(batches.Start * BatchSize, dataset.Count), end = Math.Min(batches.End * BatchSize, dataset.Count);
        var all = new List<Found>();
        var next = Read(dataset, start, end, workers);
        for (int first = start; first < end && !stop.IsCancellationRequested; first += BatchSize)
        {
            var pictures = next.GetAwaiter().GetResult();
            next = Read(dataset, first + BatchSize, end, workers);
            using var scope = new StepScope(ranks.Device, record: false);
            var found = model.Detect(ModelInput.Prepare(scope, pictures, imageSize));
            for (int i = 0; i < pictures.Length; i++)
                foreach (var raw in found[i])
                    all.Add(new(first + i, raw.Class, raw.InPicture(imageSize, imageSize, pictures[i].Width, pictures[i].Height), raw.Score));
            progress(Math.Min(first + BatchSize, end) - start, end - start);
        }
        return all;
    }

    /// <summary>The data set's annotations as COCO ground truth.</summary>
    public static CocoGroundTruth Truth(IDataset dataset)
    {
        var samples = Enumerable.Range(0, dataset.Count).Select(dataset.Read).ToArray();
        var annotations = samples.SelectMany(s => s.Objects.Select(o => (Sample: s, Object: o))).Select((p, i) => new CocoAnnotation(
            i + 1, p.Sample.Id, dataset.CategoryIds[p.Object.Class], p.Object.Box.X1, p.Object.Box.Y1, p.Object.Box.Width, p.Object.Box.Height,
            p.Object.Area, p.Object.Crowd));
        return new CocoGroundTruth(
            [.. samples.Select(s => new CocoImage(s.Id, Path.GetFileName(s.ImagePath), s.Width, s.Height))],
            [.. dataset.Classes.Select((name, i) => new CocoCategory(dataset.CategoryIds[i], name))],
            [.. annotations]);
    }

    /// <summary>Crowds are no objects of VOC; difficult objects need not be found.</summary>
    private static VocResult Voc(IDataset dataset, IReadOnlyList<CocoDetection> detections)
    {
        var classOf = dataset.CategoryIds.Select((id, index) => (id, index)).ToDictionary(p => p.id, p => p.index);
        var objects = Enumerable.Range(0, dataset.Count).Select(dataset.Read)
            .SelectMany(s => s.Objects.Where(o => !o.Crowd).Select(o => new VocObject(s.Id, o.Class, o.Box, o.Difficult)));
        return VocMetric.Evaluate(dataset.Classes.Count, [.. objects], [.. detections.Select(d =>
            new VocDetection(d.ImageId, classOf[d.CategoryId], new Box(d.X, d.Y, d.X + d.Width, d.Y + d.Height), d.Score))]);
    }

    private static Task<ImageBuffer[]> Read(IDataset dataset, int first, int end, int workers)
    {
        int count = Math.Clamp(end - first, 0, BatchSize);
        return Task.Run(() =>
        {
            var pictures = new ImageBuffer[count];
            ParallelWork.For(count, workers, i => pictures[i] = dataset.Read(first + i).LoadPicture());
            return pictures;
        });
    }
}
