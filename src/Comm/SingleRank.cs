using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>The group of one: what is combined over one rank is the value itself.</summary>
internal sealed class SingleRank(Device device) : ICollective
{
    public int Rank => 0;

    public int Size => 1;

    public void AllReduce(TensorView view, Reduction reduction) => Check.That(view.Type == DType.F32, nameof(AllReduce), nameof(view), "f32", view);

    public void Reduce(TensorView view, Reduction reduction, int root)
    {
        AllReduce(view, reduction);
        CheckRoot(nameof(Reduce), root);
    }

    public void Broadcast(TensorView view, int root) => CheckRoot(nameof(Broadcast), root);

    public void AllGather(TensorView part, TensorView all)
    {
        Check.That(part.Type == all.Type && part.Length == all.Length, nameof(AllGather), nameof(all), $"{part.Type.Label()} of length {part.Length}", all);
        device.Copy(part, all);
    }

    public void Barrier()
    {
    }

    public ICollective Split(int number) => new SingleRank(device);

    public void Dispose()
    {
    }

    private static void CheckRoot(string operation, int root) => Check.That(root == 0, operation, nameof(root), "rank 0, the only one", root);
}
