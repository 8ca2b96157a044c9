using System.Security.Cryptography;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public sealed class LoaderTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;
    private readonly IDataset dataset;

    public LoaderTests()
    {
        SyntheticGenerator.Write(folder, 26, 64, seed: 3); // 23 to train, 3 to validate
        dataset = DatasetSource.Open(folder, "train");
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData((int)Augmentation.Flip)]
    [InlineData((int)Augmentation.Full)]
    public void BatchesDoNotDependOnTheNumberOfWorkers(int kind)
    {
        var expected = Digest(Training(workers: 1, kind: (Augmentation)kind), 0, 1);
        Assert.Equal(10, expected.Count);
        Assert.Equal(expected, Digest(Training(workers: 2, kind: (Augmentation)kind), 0, 1));
        Assert.Equal(expected, Digest(Training(workers: 5, kind: (Augmentation)kind), 0, 1));
        Assert.NotEqual(expected, Digest(Training(workers: 2, kind: (Augmentation)kind, seed: 2), 0, 1));
        Assert.Equal(10, expected.Distinct().Count());
    }

    [Fact]
    public void ARunMayStartAtAnyStep()
    {
        var whole = Digest(Training(), 4);
        var loader = Training(workers: 3);
        Assert.Equal(whole.Skip(2), loader.Epoch(4, fromStep: 2).Select(Digest));
        Assert.Empty(loader.Epoch(4, fromStep: 5));
        Assert.Equal(whole, Digest(loader, 4));
    }

    [Fact]
    public void AnEpochShowsEveryPictureAtMostOnceInAnotherOrderEachTime()
    {
        var loader = Training();
        Assert.Equal((23, 5), (loader.PictureCount, loader.StepsPerEpoch));
        var orders = Enumerable.Range(0, 3).Select(epoch => Indices(loader, epoch)).ToArray();
        Assert.All(orders, order => Assert.Equal(20, order.Distinct().Count()));
        Assert.NotEqual(orders[0], orders[1]);
        Assert.NotEqual(orders[1], orders[2]);
    }

    [Theory]
    [InlineData(8, 1)]
    [InlineData(8, 2)]
    [InlineData(8, 3)]
    [InlineData(7, 7)]
    [InlineData(23, 4)]
    public void RanksShareEveryBatchWithoutOverlapOrLoss(int batch, int ranks)
    {
        var shares = Enumerable.Range(0, ranks).Select(rank => Share.Of(batch, ranks, rank)).ToArray();
        Assert.All(shares, share => Assert.InRange(share.Count, batch / ranks, (batch + ranks - 1) / ranks));
        var whole = Digest(Training(batch: batch), 1);
        var parts = shares.Select(share => Training(batch: batch, share: share).Epoch(1).Select(b => (Digest(b), b.Indices)).ToArray()).ToArray();
        var indices = Training(batch: batch).Epoch(1).Select(b => Take(b).Indices).ToArray();
        Assert.Equal(indices, indices.Select((_, step) => parts.SelectMany(p => p[step].Indices).ToArray()));
        if (ranks == 1)
            Assert.Equal(whole, parts[0].Select(p => p.Item1));
    }

    [Fact]
    public void TheLongerSharesComeFirst() =>
        Assert.Equal([new(0, 3), new(3, 3), new(6, 2)], Enumerable.Range(0, 3).Select(rank => Share.Of(8, 3, rank)));

    [Fact]
    public void EveryPartOfABatchIsReadAsInTheWhole()
    {
        var whole = Training(batch: 8).Epoch(2).First();
        var part = Training(batch: 8, share: new(3, 2)).Epoch(2).First();
        Assert.Equal(whole.Indices[3..5], part.Indices);
        Assert.Equal(whole.Boxes[3..5], part.Boxes);
        Assert.Equal(whole.Picture(3).ToArray(), part.Picture(0).ToArray());
        Assert.Equal(whole.Picture(4).ToArray(), part.Picture(1).ToArray());
    }

    [Fact]
    public void EvaluationShowsEveryPictureOnceInOrder()
    {
        var loader = new BatchLoader(dataset, new BatchLoaderOptions { BatchSize = 4, ImageSize = 96 });
        Assert.Equal(6, loader.StepsPerEpoch);
        var batches = loader.Epoch(0).Select(Take).ToArray();
        Assert.Equal(Enumerable.Range(0, 23), batches.SelectMany(batch => batch.Indices));
        Assert.Equal(3, batches[^1].Count);
        Assert.Equal(dataset.Read(22).Id, batches[^1].Samples[2].Id);
        var first = DataFilter.Boxes(dataset.Read(0))[0];
        Assert.Equal(first.X1 * 1.5f, batches[0].Boxes[0][0].X1, 1e-4f);
    }

    [Fact]
    public void BuffersAreReused()
    {
        var seen = new HashSet<byte[]>();
        foreach (var batch in Training().Epoch(0))
            using (batch) seen.Add(batch.Pixels);
        Assert.InRange(seen.Count, 1, 2);
        var kept = Training().Epoch(0).First();
        kept.Dispose();
        Assert.Throws<ObjectDisposedException>(() => kept.Pixels);
    }

    [Fact]
    public void AnErrorInAWorkerReachesTheConsumerWithThePath()
    {
        var broken = dataset.Read(11).ImagePath;
        var bytes = File.ReadAllBytes(broken);
        File.WriteAllBytes(broken, bytes[..(bytes.Length / 2)]);
        foreach (var workers in new[] { 1, 4 })
        {
            var error = Assert.Throws<DataException>(() => Digest(Training(workers: workers, batch: 23), 0));
            Assert.StartsWith(broken, error.Message);
            Assert.Contains("truncated", error.Message);
        }
    }

    [Fact]
    public void LessThanABatchIsSaidAtOnce()
    {
        var error = Assert.Throws<DataException>(() => Training(batch: 24));
        Assert.Contains("23 usable pictures are fewer than one batch of 24", error.Message);
    }

    private BatchLoader Training(int workers = 2, int batch = 4, Augmentation kind = Augmentation.Flip, ulong seed = 1, Share? share = null) =>
        new(dataset, new BatchLoaderOptions { BatchSize = batch, ImageSize = 64, Augment = kind, Seed = seed, Workers = workers, Share = share });

    private static int[] Indices(BatchLoader loader, int epoch) => [.. loader.Epoch(epoch).SelectMany(batch => Take(batch).Indices)];

    private static List<string> Digest(BatchLoader loader, params int[] epochs) => [.. epochs.SelectMany(epoch => loader.Epoch(epoch)).Select(Digest)];

    private static string Digest(Batch batch)
    {
        using (batch)
            return $"{batch.Epoch}/{batch.Step}: {string.Join(",", batch.Indices)}; {string.Join(",", batch.Boxes.SelectMany(boxes => boxes))}; {Convert.ToHexString(SHA256.HashData(batch.Pixels))}";
    }

    private static Batch Take(Batch batch)
    {
        batch.Dispose();
        return batch;
    }
}
