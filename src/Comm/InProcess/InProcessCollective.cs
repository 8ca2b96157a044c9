using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>
/// A group of threads of one process with a device each. In a reduction every member combines its share of the elements from everybody's memory, in rank
/// order, and writes it to everybody's; nothing is copied in between.
/// </summary>
internal sealed unsafe class InProcessCollective : HostCollective
{
    /// <summary>Longer than any pause between two kernels, shorter than what the one in front of the screen should wait.</summary>
    public static readonly TimeSpan DefaultPatience = TimeSpan.FromSeconds(6);

    private readonly InProcessGroup group;
    private readonly int member;

    private InProcessCollective(InProcessGroup group, int member, Device device) : base(device)
    {
        (this.group, this.member) = (group, member);
        group.Join(member);
    }

    public override int Rank => member;

    public override int Size => group.Size;

    public override RankFailure? Failure => group.Failure;

    public override CancellationToken Failed => group.Failed;

    /// <summary>A group with one member for each device. Each is to be used, and disposed, by a thread of its own.</summary>
    /// <param name="patience">How long a rank that others wait for may show no sign of life; see <see cref="StallWatch"/>.</param>
    public static InProcessCollective[] Create(IReadOnlyList<Device> devices, TimeSpan? patience = null)
    {
        if (devices.Count > 1)
            foreach (var device in devices.OfType<CpuDevice>())
                device.Team.AdmitGuest();
        var group = new InProcessGroup(new InProcessWorld(devices, patience ?? DefaultPatience), [.. Enumerable.Range(0, devices.Count)]);
        return [.. devices.Select((device, member) => new InProcessCollective(group, member, device))];
    }

    public override void Fail(Exception reason) => group.Fail(member, reason);

    public override void Dispose()
    {
        group.Quit(member);
        base.Dispose();
    }

    protected override void AllReduce(in CollectiveCall call, float* values, long length)
    {
        group.Enter(member, call, (nint)values);
        Combine(length, call.Reduction, group.Addresses);
        group.Leave(member);
    }

    protected override void Reduce(in CollectiveCall call, float* values, long length)
    {
        group.Enter(member, call, (nint)values);
        Combine(length, call.Reduction, group.Addresses.Slice(call.Root, 1));
        group.Leave(member);
    }

    protected override void Broadcast(in CollectiveCall call, byte* bytes, long count)
    {
        group.Enter(member, call, (nint)bytes);
        if (member != call.Root)
            Copy((byte*)group.Addresses[call.Root], bytes, count);
        group.Leave(member);
    }

    protected override void AllGather(in CollectiveCall call, byte* part, long count, byte* all)
    {
        group.Enter(member, call, (nint)part);
        for (int m = 0; m < Size; m++)
            Copy((byte*)group.Addresses[m], all + m * count, count);
        group.Leave(member);
    }

    protected override void Barrier(in CollectiveCall call)
    {
        group.Enter(member, call, 0);
        group.Leave(member);
    }

    protected override ICollective Split(in CollectiveCall call, int number, bool beside)
    {
        var (child, place) = group.Split(member, call, number, beside);
        return new InProcessCollective(child, place, Device);
    }

    private static void Copy(byte* from, byte* to, long count) => Buffer.MemoryCopy(from, to, count, count);

    /// <summary>This member's share, written to each of the places.</summary>
    private void Combine(long length, Reduction reduction, ReadOnlySpan<nint> places)
    {
        Span<float> block = stackalloc float[RankOrder.Block];
        var (start, count) = RankOrder.Share(length, member, Size);
        for (long at = start; at < start + count; at += block.Length)
        {
            var y = block[..(int)Math.Min(block.Length, start + count - at)];
            RankOrder.Combine(group.Addresses, at, y, reduction);
            foreach (nint place in places)
                y.CopyTo(new Span<float>((float*)place + at, y.Length));
        }
    }
}
