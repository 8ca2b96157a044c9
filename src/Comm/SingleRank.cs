using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using static CudaKernels.Comm.CollectiveArguments;

namespace CudaKernels.Comm;

/// <summary>The group of one: what is combined over one rank is the value itself.</summary>
internal sealed class SingleRank(Device device) : ICollective
{
    public int Rank => 0;

    public int Size => 1;

    /// <summary>Stays null, as <see cref="Failed"/> stays unset: there is nobody to tell.</summary>
    public RankFailure? Failure => null;

    public CancellationToken Failed => default;

    /// <summary>Stays empty: nothing leaves the rank.</summary>
    public CollectiveTraffic Traffic { get; } = new();

    public void AllReduce(TensorView view, Reduction reduction) => CheckFloats(nameof(AllReduce), view);

    public void Reduce(TensorView view, Reduction reduction, int root)
    {
        CheckFloats(nameof(Reduce), view);
        CheckRoot(nameof(Reduce), root, Size);
    }

    public void Broadcast(TensorView view, int root)
    {
        CheckView(nameof(Broadcast), nameof(view), view);
        CheckRoot(nameof(Broadcast), root, Size);
    }

    public void AllGather(TensorView part, TensorView all)
    {
        CheckParts(part, all, Size);
        device.Copy(part, all.Reshape(part.Shape));
    }

    public void Barrier()
    {
    }

    public ICollective Split(int number, bool beside)
    {
        CheckNumber(number);
        return new SingleRank(device);
    }

    public void Fail(Exception reason)
    {
    }

    public void Dispose()
    {
    }
}
