using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>The group of one: a sum over one rank is the value itself.</summary>
internal sealed class SingleRank : ICollective
{
    public int Rank => 0;

    public int Size => 1;

    public void AllReduceSum(TensorView view) => Check.That(view.Type == DType.F32, nameof(AllReduceSum), nameof(view), "f32", view);

    public void Broadcast(TensorView view, int root) => Check.That(root == 0, nameof(Broadcast), nameof(root), "rank 0, the only one", root);

    public void Barrier()
    {
    }
}
