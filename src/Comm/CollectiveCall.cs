using CudaKernels.Kernels;

namespace CudaKernels.Comm;

internal enum CollectiveKind : byte
{
    AllReduce,
    Reduce,
    Broadcast,
    AllGather,
    Barrier,
    Split,
}

/// <summary>What a rank asks of its group. All ranks must ask for the same at the same point; its bytes can be sent as they are.</summary>
internal readonly record struct CollectiveCall(CollectiveKind Kind, DType Type = default, Shape Shape = default, Reduction Reduction = default, int Root = 0)
{
    /// <summary>
    /// What is wrong with the calls of all ranks, which came to the same point, or null: the first rank whose call is not the one that most ranks, or
    /// among equally many the lowest, came with.
    /// </summary>
    public static RankFailure? Disagreement(ReadOnlySpan<CollectiveCall> calls, ReadOnlySpan<int> ranks)
    {
        bool same = true;
        foreach (ref readonly var call in calls)
            same &= call == calls[0];
        if (same)
            return null;
        var expected = calls.ToArray().GroupBy(call => call).MaxBy(group => group.Count())!.Key;
        int offender = 0;
        while (calls[offender] == expected)
            offender++;
        return new(ranks[offender], "disagrees", $"{expected} was expected but it came with {calls[offender]}; every rank calls the same operations in the same order");
    }

    public override string ToString() => Kind switch
    {
        CollectiveKind.AllReduce => $"all-reduce ({Label(Reduction)}) of {Type.Label()}{Shape}",
        CollectiveKind.Reduce => $"reduce ({Label(Reduction)}) of {Type.Label()}{Shape} to rank {Root}",
        CollectiveKind.Broadcast => $"broadcast of {Type.Label()}{Shape} from rank {Root}",
        CollectiveKind.AllGather => $"all-gather of {Type.Label()}{Shape}",
        CollectiveKind.Barrier => "barrier",
        _ => "split",
    };

    private static string Label(Reduction reduction) => reduction == Reduction.Sum ? "sum" : "max";
}
