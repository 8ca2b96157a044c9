using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>How the values of all ranks become one.</summary>
internal enum Reduction
{
    Sum,
    Max,
}

/// <summary>
/// A group of ranks that train as one. Every rank calls the same operations in the same order on its own device's views; results are
/// there for whatever runs on the device afterwards. Values are combined in rank order, so results repeat bit for bit, and are the same
/// on every rank. One device is a group of size one and takes the same code path. A group is used by one thread at a time; work that
/// runs beside the step's own uses a group of its own, made by <see cref="Split"/>. A rank that asks for something else than the others,
/// fails, leaves or stands still ends the run: all get a <see cref="CollectiveException"/> that names it.
/// </summary>
internal interface ICollective : IDisposable
{
    /// <summary>This member's number in [0, <see cref="Size"/>).</summary>
    int Rank { get; }

    int Size { get; }

    /// <summary>Why the run has failed, on this rank or another, as soon as that is known here.</summary>
    RankFailure? Failure { get; }

    /// <summary>Set together with <see cref="Failure"/>.</summary>
    CancellationToken Failed { get; }

    /// <summary>What was asked of this group so far.</summary>
    CollectiveTraffic Traffic { get; }

    /// <summary>Replaces the f32 view by its reduction over all ranks.</summary>
    void AllReduce(TensorView view, Reduction reduction);

    /// <summary>Replaces the f32 view of rank <paramref name="root"/> by the reduction over all ranks; the others' stay as they are.</summary>
    void Reduce(TensorView view, Reduction reduction, int root);

    /// <summary>Replaces the view by the one of rank <paramref name="root"/>.</summary>
    void Broadcast(TensorView view, int root);

    /// <summary>Writes the parts of all ranks, in rank order, to <paramref name="all"/>, which is <see cref="Size"/> times as long.</summary>
    void AllGather(TensorView part, TensorView all);

    /// <summary>Returns once every rank has arrived.</summary>
    void Barrier();

    /// <summary>A new group of the ranks that gave the same number, in the order of their ranks here. Every rank calls it.</summary>
    /// <param name="beside">
    /// For a thread beside the step's own, which has nothing else to do: where operations run on the device's streams, that thread waits for them instead of
    /// what the device computes next.
    /// </param>
    ICollective Split(int number, bool beside = false);

    /// <summary>
    /// This rank goes no further: every other one gets a <see cref="CollectiveException"/> with these words from the operation it waits in or comes to next,
    /// in this group and in all that belong to the same run. Any thread may call it.
    /// </summary>
    void Fail(Exception reason);
}
