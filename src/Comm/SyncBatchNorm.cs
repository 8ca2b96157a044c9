using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Comm;

/// <summary>
/// Batch norm across devices (MegDet's CGBN): the ranks fall into groups of neighbours, and the batch norms of a network take their statistics over
/// the batch of the group. Per layer and step one gather of 2C + 2 floats (<see cref="BatchNormPart"/>) in the forward pass and one sum of 2C in the
/// backward pass; none with fixed statistics. The gradients of γ and β stay this rank's own and go the way of all other gradients, over all ranks.
/// </summary>
internal sealed class SyncBatchNorm : INormGroup, IDisposable
{
    private readonly ICollective group;
    private readonly BatchNorm2d[] norms;

    private SyncBatchNorm(ICollective group, BatchNorm2d[] norms) => (this.group, this.norms) = (group, norms);

    public int Size => group.Size;

    /// <summary>What the batch norms asked of their group so far.</summary>
    public CollectiveTraffic Traffic => group.Traffic;

    /// <summary>
    /// Joins every batch norm of the tree to those of the same group on other ranks until the result is disposed. Every rank calls it, with the same
    /// network. Groups of one rank leave the network as it is.
    /// </summary>
    /// <param name="ranksPerGroup">A divisor of the number of ranks; see <see cref="RanksPerGroup"/>.</param>
    public static SyncBatchNorm Attach(Module root, ICollective ranks, int ranksPerGroup)
    {
        if (ranksPerGroup < 1 || ranks.Size % ranksPerGroup != 0)
            throw new KernelException($"SyncBatchNorm: ranks per group expects a divisor of the {ranks.Size} ranks but is {ranksPerGroup}; use {List(Divisors(ranks.Size))}");
        var norms = root.Modules<BatchNorm2d>().ToArray();
        var sync = new SyncBatchNorm(ranks.Split(ranks.Rank / ranksPerGroup), norms);
        foreach (var norm in norms)
            norm.Group = sync;
        return sync;
    }

    /// <summary>The ranks whose images make a batch-norm group of so many images.</summary>
    public static int RanksPerGroup(int images, int imagesPerRank, int ranks) =>
        Divisors(ranks).FirstOrDefault(divisor => (long)divisor * imagesPerRank == images) is var found and > 0 ? found
            : throw new KernelException($"SyncBatchNorm: a batch-norm group expects {List(Divisors(ranks).Select(d => (long)d * imagesPerRank))} images "
                + $"({ranks} ranks of {imagesPerRank} in equal groups) but is {images}");

    void INormGroup.Gather(TensorView part, TensorView all) => group.AllGather(part, all);

    void INormGroup.Sum(TensorView view) => group.AllReduce(view, Reduction.Sum);

    public void Dispose()
    {
        foreach (var norm in norms)
            norm.Group = null;
        group.Dispose();
    }

    private static IEnumerable<int> Divisors(int number) => Enumerable.Range(1, number).Where(d => number % d == 0);

    private static string List<T>(IEnumerable<T> numbers)
    {
        string[] all = [.. numbers.Select(n => $"{n}")];
        return all.Length == 1 ? all[0] : $"{string.Join(", ", all[..^1])} or {all[^1]}";
    }
}
