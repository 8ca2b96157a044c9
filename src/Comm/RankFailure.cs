namespace CudaKernels.Comm;

/// <summary>Why a run of several ranks ends: the rank at fault, numbered as in the run's first group, what it did, and the details.</summary>
internal sealed record RankFailure(int Rank, string Deed, string Details, Exception? Exception = null)
{
    /// <summary>Of what a rank threw; where that only passes on the failure of another, of that one.</summary>
    public static RankFailure Of(int rank, Exception exception) => new(exception is CollectiveException other ? other.Rank : rank, "failed", exception.Message, exception);

    /// <summary>As told by a rank that was in an operation or came to one.</summary>
    public CollectiveException During(CollectiveCall call) => new(Rank, $"rank {Rank} {Deed} during {call}: {Details}", Exception);
}
