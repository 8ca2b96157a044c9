using System.Collections.Concurrent;
using CudaKernels.Kernels;

namespace CudaKernels.Detection;

/// <summary>What a <see cref="BatchLoader"/> makes.</summary>
internal sealed record BatchLoaderOptions
{
    /// <summary>Pictures per batch, those of all ranks together.</summary>
    public required int BatchSize { get; init; }

    /// <summary>Side of the square pictures.</summary>
    public required int ImageSize { get; init; }

    /// <summary>Random changes; null for evaluation: every picture once, in order, only resized, the last batch may be smaller.</summary>
    public Augmentation? Augment { get; init; }

    /// <summary>Seed of order and changes; unused in evaluation.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads that decode and augment.</summary>
    public int Workers { get; init; } = 2;

    /// <summary>The places of every batch that are read here; null for all. The shares of all ranks make up the batch.</summary>
    public Share? Share { get; init; }
}

/// <summary>
/// Decodes and augments batches on worker threads, one batch ahead of the consumer.
/// </summary>
/// <remarks>
/// The order of an epoch is a shuffle drawn from (seed, epoch); what happens to a picture is drawn from (seed, epoch, its index). So the
/// batches are the same for any number of workers, and a run may start at any (epoch, step). Training uses the pictures that
/// <see cref="DataFilter"/> keeps and drops the last incomplete batch; evaluation uses all pictures. The pictures of step s are
/// the places s·BatchSize to (s + 1)·BatchSize of the order, whoever reads them; here those of the share are read.
/// </remarks>
internal sealed class BatchLoader
{
    private readonly IDataset dataset;
    private readonly BatchLoaderOptions options;
    private readonly Share share;
    private readonly int[] pictures;
    private readonly ulong seed;
    private readonly ConcurrentBag<byte[]> buffers = [];

    /// <exception cref="DataException">Nothing to train on, or less than one batch.</exception>
    public BatchLoader(IDataset dataset, BatchLoaderOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.ImageSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Workers, 1);
        share = options.Share ?? new(0, options.BatchSize);
        ArgumentOutOfRangeException.ThrowIfNegative(share.Start);
        ArgumentOutOfRangeException.ThrowIfLessThan(share.Count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(share.End, options.BatchSize);
        this.dataset = dataset;
        this.options = options;
        seed = new CounterRandom(options.Seed, 0, ulong.MaxValue).Bits; // apart from the weights' initial values, which use the seed itself
        pictures = Trains ? DataFilter.Pictures(dataset) : [.. Enumerable.Range(0, dataset.Count)];
        if (StepsPerEpoch == 0)
            throw new DataException($"{dataset.Name}: {pictures.Length} usable pictures are fewer than one batch of {options.BatchSize}; choose a batch of at most {pictures.Length}");
    }

    /// <summary>Pictures in use.</summary>
    public int PictureCount => pictures.Length;

    /// <summary>Batches in one epoch.</summary>
    public int StepsPerEpoch => Trains ? pictures.Length / options.BatchSize : (pictures.Length + options.BatchSize - 1) / options.BatchSize;

    private bool Trains => options.Augment is not null;

    /// <summary>
    /// The batches of one epoch from a step on. Workers start with the first request and end when the enumeration does, also when it is
    /// left early. Dispose each batch before asking for the next, else a further buffer is allocated.
    /// </summary>
    /// <exception cref="DataException">Thrown to the consumer when a picture of the batch cannot be read; names the picture.</exception>
    public IEnumerable<Batch> Epoch(int epoch, int fromStep = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(fromStep);
        return Enumerate(epoch, fromStep);
    }

    private IEnumerable<Batch> Enumerate(int epoch, int fromStep)
    {
        var order = Order(epoch);
        using var crew = new LoaderCrew(options.Workers, Fill);
        crew.Start(fromStep < StepsPerEpoch ? Prepare(order, epoch, fromStep) : null);
        for (var step = fromStep; step < StepsPerEpoch; step++)
        {
            crew.Start(step + 1 < StepsPerEpoch ? Prepare(order, epoch, step + 1) : null);
            yield return crew.Take();
        }
    }

    /// The places of an epoch: a Fisher-Yates shuffle in training, the order of the data set in evaluation.
    private int[] Order(int epoch)
    {
        var order = (int[])pictures.Clone();
        if (!Trains) return order;
        var random = new RandomStream(seed, (ulong)epoch, ulong.MaxValue);
        for (var i = order.Length - 1; i > 0; i--)
        {
            var j = random.Int(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    private Batch Prepare(int[] order, int epoch, int step)
    {
        var from = Math.Min(step * options.BatchSize + share.Start, order.Length);
        var to = Math.Min(from + share.Count, order.Length);
        if (!buffers.TryTake(out var pixels)) pixels = new byte[share.Count * options.ImageSize * options.ImageSize * 3];
        return new Batch(epoch, step, options.ImageSize, order[from..to], pixels, buffers.Add);
    }

    private void Fill(Batch batch, int slot)
    {
        var index = batch.Indices[slot];
        var sample = dataset.Read(index);
        var image = sample.LoadPicture();
        var boxes = DataFilter.Boxes(sample);
        batch.Samples[slot] = sample;
        try
        {
            batch.Boxes[slot] = options.Augment is { } kind
                ? Augment.Train(image, boxes, kind, options.ImageSize, new RandomStream(seed, (ulong)batch.Epoch, (ulong)index), batch.Picture(slot))
                : Augment.Evaluate(image, boxes, options.ImageSize, batch.Picture(slot));
        }
        catch (Exception error) when (error is not DataException)
        {
            throw new InvalidOperationException($"{sample.ImagePath}: augmentation failed: {error.Message}", error);
        }
    }
}
