using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>
/// A group of ranks that train as one. Every rank calls the same operations in the same order; sums run in rank order, so
/// results repeat bit for bit. One device is a group of size one and takes the same code path.
/// </summary>
internal interface ICollective
{
    /// <summary>This member's number in [0, <see cref="Size"/>).</summary>
    int Rank { get; }

    int Size { get; }

    /// <summary>Replaces the f32 view by its sum over all ranks.</summary>
    void AllReduceSum(TensorView view);

    /// <summary>Replaces the view by the one of rank <paramref name="root"/>.</summary>
    void Broadcast(TensorView view, int root);

    /// <summary>Returns once every rank has arrived.</summary>
    void Barrier();
}
