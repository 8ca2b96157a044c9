namespace CudaKernels.Comm;

/// <summary>
/// Tells a rank that hangs from one that is slow. A rank stands still when for the length of the patience it has run no kernel, finished no operation and
/// declared no work. If it waits for nobody meanwhile, it is at fault; if all stand still and all wait, they wait for each other. It is to be asked every second or
/// so while a rank waits; after a longer silence, also that of a machine asleep, the patience begins anew.
/// </summary>
internal sealed class StallWatch(int size, TimeSpan patience)
{
    private readonly long[] progress = new long[size];
    private readonly TimeSpan[] moved = new TimeSpan[size];
    private TimeSpan asked = TimeSpan.MinValue;

    /// <summary>Whose fault it is that the run stands still, or null while it does not.</summary>
    /// <param name="now">By any clock that goes on.</param>
    public RankFailure? Observe(ReadOnlySpan<RankStatus> ranks, TimeSpan now)
    {
        bool anew = asked == TimeSpan.MinValue || now - asked > patience / 2;
        asked = now;
        int offender = -1, still = 0;
        for (int r = 0; r < ranks.Length; r++)
        {
            if (anew || ranks[r].IsBusy || ranks[r].Progress != progress[r])
                (progress[r], moved[r]) = (ranks[r].Progress, now);
            if (now - moved[r] < patience)
                continue;
            still++;
            if (ranks[r].Waiting == 0 && offender < 0)
                offender = r;
        }
        if (offender >= 0)
            return new(offender, "stands still", FormattableString.Invariant($"no kernel, no operation and no declared work for {patience.TotalSeconds:0.#} s"));
        if (still < ranks.Length)
            return null;
        var waits = new string[ranks.Length];
        for (int r = 0; r < waits.Length; r++)
            waits[r] = $"rank {r} in {ranks[r].Call}";
        return new(0, "stands still", $"the ranks wait for each other: {string.Join(", ", waits)}");
    }
}
