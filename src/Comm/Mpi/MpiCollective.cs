using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>
/// A group of processes. Every operation begins with a short exchange of what the ranks came for: whoever is late is waited for there, and whoever came for
/// something else is found. Sums are not left to the library, whose order is its own: each rank gets its share of the elements from all, combines it in rank
/// order and gives it to all, which sends as much as a ring does, (R - 1) / R of the bytes twice. Few values all go to all at once.
/// </summary>
internal sealed unsafe class MpiCollective : HostCollective
{
    /// <summary>Floats of all ranks together up to which a reduction is one exchange.</summary>
    private const long Few = 1 << 14;

    /// <summary>Floats taken at a time: far from the library's limit of 2^31, and what is on its way stays near the caches.</summary>
    private const int Chunk = 1 << 20;

    private readonly MpiWorld world;
    private readonly nint group;
    private readonly int[] ranks;
    private readonly bool beside;
    private readonly HostMemory greetings = new(), received = new(), combined = new(), tables = new();
    private readonly int* counts, places, shareCounts, sharePlaces; // outside of managed memory: they are in use as long as the operation they were given to

    internal MpiCollective(MpiWorld world, nint group, int[] ranks, Device device, bool beside) : base(device)
    {
        (this.world, this.group, this.ranks, this.beside) = (world, group, ranks, beside);
        Rank = world.Mpi.Rank(group);
        Size = ranks.Length;
        counts = (int*)tables.AtLeast(4L * Size * sizeof(int));
        places = counts + Size;
        shareCounts = places + Size;
        sharePlaces = shareCounts + Size;
    }

    public override int Rank { get; }

    public override int Size { get; }

    public override RankFailure? Failure => world.Failure;

    public override CancellationToken Failed => world.Failed;

    public override void Fail(Exception reason) => world.Fail(RankFailure.Of(world.Rank, reason));

    public override void Dispose()
    {
        if (world.Failure is not null)
            return; // what is under way may still use the memory, and the process is about to end
        world.Mpi.Free(group);
        greetings.Dispose();
        received.Dispose();
        combined.Dispose();
        tables.Dispose();
        base.Dispose();
    }

    protected override void AllReduce(in CollectiveCall call, float* values, long length)
    {
        Agree(call);
        if (length * Size <= Few)
        {
            float* all = (float*)received.AtLeast(length * Size * sizeof(float));
            world.Mpi.AllGather(values, (int)length * sizeof(float), all, group, out nint request);
            world.Finish(request, call, ranks);
            Combine(all, (int)length, values, call.Reduction);
        }
        else
            for (long at = 0; at < length; at += Chunk)
            {
                float* share = CombineShare(call, values + at, (int)Math.Min(Chunk, length - at));
                world.Mpi.AllGather(share, counts[Rank], values + at, counts, places, group, out nint request);
                world.Finish(request, call, ranks);
            }
        world.Finished();
    }

    protected override void Reduce(in CollectiveCall call, float* values, long length)
    {
        Agree(call);
        for (long at = 0; at < length; at += Chunk)
        {
            float* share = CombineShare(call, values + at, (int)Math.Min(Chunk, length - at));
            world.Mpi.Gather(share, counts[Rank], values + at, counts, places, call.Root, group, out nint request);
            world.Finish(request, call, ranks);
        }
        world.Finished();
    }

    protected override void Broadcast(in CollectiveCall call, byte* bytes, long count)
    {
        const int Most = Chunk * sizeof(float);
        Agree(call);
        for (long at = 0; at < count; at += Most)
        {
            world.Mpi.Broadcast(bytes + at, (int)Math.Min(Most, count - at), call.Root, group, out nint request);
            world.Finish(request, call, ranks);
        }
        world.Finished();
    }

    protected override void AllGather(in CollectiveCall call, byte* part, long count, byte* all)
    {
        Agree(call);
        int most = Math.Max(1, Chunk * sizeof(float) / Size);
        for (long at = 0; at < count; at += most)
        {
            int now = (int)Math.Min(most, count - at);
            byte* together = received.AtLeast((long)now * Size);
            world.Mpi.AllGather(part + at, now, together, group, out nint request);
            world.Finish(request, call, ranks);
            for (int r = 0; r < Size; r++)
                Buffer.MemoryCopy(together + (long)r * now, all + r * count + at, now, now);
        }
        world.Finished();
    }

    protected override void Barrier(in CollectiveCall call)
    {
        Agree(call);
        world.Finished();
    }

    protected override ICollective Split(in CollectiveCall call, int number, bool beside)
    {
        int[] numbers = Agree(call, number);
        nint made = world.Mpi.Split(group, number);
        world.Finished();
        return new MpiCollective(world, made, [.. ranks.Where((_, r) => numbers[r] == number)], Device, beside);
    }

    /// <summary>Returns once all ranks are here and have come for the same.</summary>
    /// <returns>The ranks' numbers.</returns>
    private int[] Agree(in CollectiveCall call, int number = 0)
    {
        world.ThrowIfFailed(call);
        var mine = (Greeting*)greetings.AtLeast((Size + 1) * sizeof(Greeting));
        *mine = new(call, number);
        world.Mpi.AllGather(mine, sizeof(Greeting), mine + 1, group, out nint request);
        world.Meet(request, call, ranks, beside);
        var all = new ReadOnlySpan<Greeting>(mine + 1, Size);
        Span<CollectiveCall> calls = stackalloc CollectiveCall[Size];
        for (int r = 0; r < Size; r++)
            calls[r] = all[r].Call;
        if (CollectiveCall.Disagreement(calls, ranks) is { } disagreement)
        {
            world.Fail(disagreement);
            throw disagreement.During(call);
        }
        return call.Kind == CollectiveKind.Split ? [.. all.ToArray().Select(g => g.Number)] : [];
    }

    /// <summary>Gets this rank's share of the chunk from everyone and combines it; leaves the shares' lengths and places behind.</summary>
    private float* CombineShare(in CollectiveCall call, float* values, int length)
    {
        for (int r = 0; r < Size; r++)
        {
            var (start, count) = RankOrder.Share(length, r, Size);
            counts[r] = (int)count;
            places[r] = (int)start;
        }
        int mine = counts[Rank];
        for (int r = 0; r < Size; r++)
        {
            shareCounts[r] = mine;
            sharePlaces[r] = r * mine;
        }
        float* shares = (float*)received.AtLeast((long)mine * Size * sizeof(float)), share = (float*)combined.AtLeast((long)mine * sizeof(float));
        world.Mpi.AllToAll(values, counts, places, shares, shareCounts, sharePlaces, group, out nint request);
        world.Finish(request, call, ranks);
        Combine(shares, mine, share, call.Reduction);
        return share;
    }

    /// <param name="values">The ranks' values, one rank's after the other's.</param>
    private void Combine(float* values, int length, float* y, Reduction reduction)
    {
        Span<nint> addresses = stackalloc nint[Size];
        for (int r = 0; r < Size; r++)
            addresses[r] = (nint)(values + (long)r * length);
        for (int at = 0; at < length; at += RankOrder.Block)
            RankOrder.Combine(addresses, at, new Span<float>(y + at, Math.Min(RankOrder.Block, length - at)), reduction);
    }

    /// <summary>What a rank comes for, as it is sent.</summary>
    private readonly record struct Greeting(CollectiveCall Call, int Number);
}
