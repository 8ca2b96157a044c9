using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using static CudaKernels.Comm.CollectiveArguments;

namespace CudaKernels.Comm;

/// <summary>
/// A member of a group whose values meet in host memory. Views of the processor are used where they lie; those of another device come and go
/// through memory of the host. Here arguments are checked, the same way for every implementation.
/// </summary>
internal abstract unsafe class HostCollective(Device device) : ICollective
{
    private readonly HostMemory input = new(), output = new();

    public abstract int Rank { get; }

    public abstract int Size { get; }

    public abstract RankFailure? Failure { get; }

    public abstract CancellationToken Failed { get; }

    public CollectiveTraffic Traffic { get; } = new();

    protected Device Device => device;

    public void AllReduce(TensorView view, Reduction reduction)
    {
        CheckFloats(nameof(AllReduce), view);
        var call = new CollectiveCall(CollectiveKind.AllReduce, view.Type, view.Shape, reduction);
        using var _ = Traffic.Measure(call, view.Bytes);
        byte* values = ToHost(view, input);
        AllReduce(call, (float*)values, view.Length);
        ToDevice(values, view);
    }

    public void Reduce(TensorView view, Reduction reduction, int root)
    {
        CheckFloats(nameof(Reduce), view);
        CheckRoot(nameof(Reduce), root, Size);
        var call = new CollectiveCall(CollectiveKind.Reduce, view.Type, view.Shape, reduction, root);
        using var _ = Traffic.Measure(call, view.Bytes);
        byte* values = ToHost(view, input);
        Reduce(call, (float*)values, view.Length);
        if (Rank == root)
            ToDevice(values, view);
    }

    public void Broadcast(TensorView view, int root)
    {
        CheckView(nameof(Broadcast), nameof(view), view);
        CheckRoot(nameof(Broadcast), root, Size);
        var call = new CollectiveCall(CollectiveKind.Broadcast, view.Type, view.Shape, Root: root);
        using var _ = Traffic.Measure(call, view.Bytes);
        byte* bytes = Rank == root ? ToHost(view, input) : Place(view, input);
        Broadcast(call, bytes, view.Bytes);
        if (Rank != root)
            ToDevice(bytes, view);
    }

    public void AllGather(TensorView part, TensorView all)
    {
        CheckParts(part, all, Size);
        var call = new CollectiveCall(CollectiveKind.AllGather, part.Type, part.Shape);
        using var _ = Traffic.Measure(call, part.Bytes);
        byte* parts = ToHost(part, input), together = Place(all, output);
        AllGather(call, parts, part.Bytes, together);
        ToDevice(together, all);
    }

    public void Barrier()
    {
        var call = new CollectiveCall(CollectiveKind.Barrier);
        using var _ = Traffic.Measure(call, 0);
        Barrier(call);
    }

    public ICollective Split(int number, bool beside)
    {
        CheckNumber(number);
        var call = new CollectiveCall(CollectiveKind.Split);
        using var _ = Traffic.Measure(call, 0);
        return Split(call, number, beside);
    }

    public abstract void Fail(Exception reason);

    public virtual void Dispose()
    {
        input.Dispose();
        output.Dispose();
    }

    protected abstract void AllReduce(in CollectiveCall call, float* values, long length);

    protected abstract void Reduce(in CollectiveCall call, float* values, long length);

    protected abstract void Broadcast(in CollectiveCall call, byte* bytes, long count);

    /// <param name="count">Bytes of a part; <paramref name="all"/> is as many times as long as there are ranks.</param>
    protected abstract void AllGather(in CollectiveCall call, byte* part, long count, byte* all);

    protected abstract void Barrier(in CollectiveCall call);

    protected abstract ICollective Split(in CollectiveCall call, int number, bool beside);

    /// <summary>Where the view's values are, or are to be, in host memory.</summary>
    private byte* Place(TensorView view, HostMemory memory)
    {
        if (view.Buffer.Device != device)
            throw new KernelException($"TensorView: {view} is used by the group's member on {device.Name} but lives on {view.Buffer.Device.Name}");
        return device is CpuDevice ? (byte*)view.Buffer.Address + view.Offset * view.Type.Size() : memory.AtLeast(view.Bytes);
    }

    private byte* ToHost(TensorView view, HostMemory memory)
    {
        byte* place = Place(view, memory);
        if (device is not CpuDevice)
            foreach (var (part, start) in Parts(view))
                device.Download(part, new Span<byte>(place + start, (int)part.Bytes));
        return place;
    }

    private void ToDevice(byte* place, TensorView view)
    {
        if (device is not CpuDevice)
            foreach (var (part, start) in Parts(view))
                device.Upload(new ReadOnlySpan<byte>(place + start, (int)part.Bytes), part);
    }

    /// <summary>A span has no more than 2^31 bytes.</summary>
    private static IEnumerable<(TensorView Part, long Start)> Parts(TensorView view)
    {
        const int Most = 1 << 28;
        for (long at = 0; at < view.Length; at += Most)
            yield return (view.Slice(at, new Shape((int)Math.Min(Most, view.Length - at))), at * view.Type.Size());
    }
}
