using System.Runtime.InteropServices;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU.Runtime.Cuda;
using static CudaKernels.Comm.CollectiveArguments;

namespace CudaKernels.Comm;

/// <summary>
/// A group of GPUs. Operations run on a stream of the group's own, after what was computed before and before what is computed next; the host waits for nothing, but
/// in a group made for a thread beside (<see cref="ICollective.Split"/>), which waits in the device's place. The order of a sum is the library's: it repeats on the
/// same machines, is the same on all ranks, and is not that of the other implementations.
/// </summary>
/// <remarks>
/// The library believes its callers, and ranks that disagree would hang. So the first operations are compared over another group of the same ranks, if there is
/// one: a training step is the same every time, and ranks that differ do so in the first.
/// </remarks>
internal sealed unsafe class NcclCollective : ICollective
{
    private const int ComparedCalls = 1000;

    private readonly NcclNative nccl;
    private readonly GpuDevice device;
    private readonly nint group;
    private readonly ICollective? control;
    private readonly bool beside;
    private readonly SideStream side;
    private readonly Lock end = new();
    private readonly CancellationTokenSource failed;
    private readonly CancellationTokenRegistration told;
    private int compared;
    private bool ended;
    private RankFailure? ownFailure;

    private NcclCollective(NcclNative nccl, GpuDevice device, NcclId id, int rank, int size, ICollective? control, bool beside, CancellationTokenSource failed)
    {
        this.failed = failed;
        (this.nccl, this.device, this.control, this.beside) = (nccl, device, control, beside);
        (Rank, Size) = (rank, size);
        side = device.OpenSide();
        device.Accelerator.Bind();
        group = nccl.Join(size, id, rank);
        told = failed.Token.Register(Abort);
    }

    public int Rank { get; }

    public int Size { get; }

    public RankFailure? Failure => control?.Failure ?? ownFailure;

    public CancellationToken Failed => failed.Token;

    /// <summary>Another member may have ended the group, and the library's calls have returned for it, before this one is asked to.</summary>
    private bool IsOver => ended || Failure is not null;

    public CollectiveTraffic Traffic { get; } = new();

    /// <summary>Waits for all ranks; no two may have the same GPU.</summary>
    /// <param name="id">Made by one rank, given to all.</param>
    /// <param name="control">A group of the same ranks by other means, now this one's: it tells who fails or disagrees.</param>
    public static NcclCollective Join(NcclNative nccl, GpuDevice device, NcclId id, int rank, int size, ICollective? control) =>
        new(nccl, device, id, rank, size, control, beside: false, CancellationTokenSource.CreateLinkedTokenSource(control?.Failed ?? default));

    public void AllReduce(TensorView view, Reduction reduction)
    {
        CheckFloats(nameof(AllReduce), view);
        Run(new(CollectiveKind.AllReduce, view.Type, view.Shape, reduction), view, stream => nccl.AllReduce(Address(view), view.Length, reduction, group, stream));
    }

    public void Reduce(TensorView view, Reduction reduction, int root)
    {
        CheckFloats(nameof(Reduce), view);
        CheckRoot(nameof(Reduce), root, Size);
        Run(new(CollectiveKind.Reduce, view.Type, view.Shape, reduction, root), view, stream => nccl.Reduce(Address(view), view.Length, reduction, root, group, stream));
    }

    public void Broadcast(TensorView view, int root)
    {
        CheckView(nameof(Broadcast), nameof(view), view);
        CheckRoot(nameof(Broadcast), root, Size);
        Run(new(CollectiveKind.Broadcast, view.Type, view.Shape, Root: root), view, stream => nccl.Broadcast(Address(view), view.Bytes, root, group, stream));
    }

    public void AllGather(TensorView part, TensorView all)
    {
        CheckParts(part, all, Size);
        Run(new(CollectiveKind.AllGather, part.Type, part.Shape), part, stream => nccl.AllGather(Address(part), Address(all), part.Bytes, group, stream));
    }

    public void Barrier()
    {
        var one = device.Rent(new Shape(1), DType.F32, nameof(Barrier));
        Run(new(CollectiveKind.Barrier), one, stream => nccl.AllReduce(Address(one), 1, Reduction.Sum, group, stream), bytes: 0);
        device.Finish(side);
        device.Return(one);
    }

    public ICollective Split(int number, bool beside)
    {
        CheckNumber(number);
        Compare(new(CollectiveKind.Split));
        int[] numbers = Exchange<int>([number], DType.I32, Gather), members = [.. Enumerable.Range(0, Size).Where(r => numbers[r] == number)];
        var own = members[0] == Rank ? nccl.NewId() : default;
        byte[] ids = Exchange<byte>(new ReadOnlySpan<byte>(&own, sizeof(NcclId)), DType.U8, Gather);
        var id = MemoryMarshal.Read<NcclId>(ids.AsSpan(members[0] * sizeof(NcclId)));
        return new NcclCollective(nccl, device, id, Array.IndexOf(members, Rank), members.Length, control?.Split(number), beside, failed);
    }

    /// <summary>Without a control group the others are not told; operations under way end all the same, here and in the groups split from this one.</summary>
    public void Fail(Exception reason)
    {
        ownFailure = RankFailure.Of(Rank, reason);
        control?.Fail(reason);
        failed.Cancel();
    }

    public void Dispose()
    {
        told.Dispose();
        device.Close(side);
        lock (end)
            if (!ended)
                nccl.Leave(group);
        control?.Dispose();
    }

    /// <summary>The device would wait for ever for a rank that does not come.</summary>
    private void Abort()
    {
        lock (end)
        {
            if (ended)
                return;
            ended = true;
            try
            {
                nccl.Abort(group);
            }
            catch (KernelException)
            {
                // It has no better end; the failure that led here is what will be told.
            }
        }
    }

    private void Run(in CollectiveCall call, TensorView view, Action<nint> work, long? bytes = null)
    {
        using var _ = Traffic.Measure(call, bytes ?? view.Bytes);
        Compare(call);
        Run(call, work);
    }

    private void Run(in CollectiveCall call, Action<nint> work)
    {
        try
        {
            if (!IsOver)
                device.Communicate(side, stream => work(stream is CudaStream cuda ? cuda.StreamPtr : 0));
            if (beside)
                device.Finish(side);
            else
                device.Await(side);
        }
        catch (KernelException) when (IsOver)
        {
            // What came of an operation that was ended is no news.
        }
        if (IsOver)
            throw (Failure ?? new RankFailure(Rank, "has ended", "its group has failed")).During(call);
    }

    /// <summary>Ends the run if the ranks came for different things.</summary>
    private void Compare(in CollectiveCall call)
    {
        if (control is null || compared == ComparedCalls)
            return;
        compared++;
        var own = call;
        byte[] calls = Exchange<byte>(new ReadOnlySpan<byte>(&own, sizeof(CollectiveCall)), DType.U8, control.AllGather);
        if (CollectiveCall.Disagreement(MemoryMarshal.Cast<byte, CollectiveCall>(calls), Enumerable.Range(0, Size).ToArray()) is not { } disagreement)
            return;
        var failure = disagreement.During(call);
        control.Fail(failure);
        throw failure;
    }

    /// <summary>The values of all ranks on the host.</summary>
    private T[] Exchange<T>(ReadOnlySpan<T> own, DType type, Action<TensorView, TensorView> gather) where T : unmanaged
    {
        TensorView part = device.Rent(new Shape(own.Length), type, nameof(NcclCollective)), all = device.Rent(new Shape(own.Length * Size), type, nameof(NcclCollective));
        var values = new T[all.Length];
        device.Upload(own, part);
        gather(part, all);
        device.Download<T>(all, values);
        device.Return(part);
        device.Return(all);
        return values;
    }

    private void Gather(TensorView part, TensorView all) =>
        Run(new CollectiveCall(CollectiveKind.Split), stream => nccl.AllGather(Address(part), Address(all), part.Bytes, group, stream));

    private nint Address(TensorView view) => view.Buffer.Device == device ? view.Buffer.Address + (nint)(view.Offset * view.Type.Size())
        : throw new KernelException($"TensorView: {view} is used by the group's member on {device.Name} but lives on {view.Buffer.Device.Name}");
}
