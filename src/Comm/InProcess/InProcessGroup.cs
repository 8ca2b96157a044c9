using System.Diagnostics;

namespace CudaKernels.Comm;

/// <summary>
/// The meeting place of the threads that form one group. An operation has three parts: all arrive and show what they came for and where their values lie; then
/// each does its share on everybody's memory; then nobody leaves, and may change or free that memory, before all are done.
/// </summary>
/// <param name="ranks">The members' ranks in the run's first group, by which messages call them.</param>
/// <param name="beside">Its members are threads beside those that compute, which have their cores to themselves.</param>
internal sealed class InProcessGroup(InProcessWorld world, int[] ranks, bool beside = false)
{
    private readonly TimeSpan spinTime = beside ? TimeSpan.FromMicroseconds(50) : TimeSpan.FromMilliseconds(1);
    private readonly CollectiveCall[] calls = new CollectiveCall[ranks.Length];
    private readonly nint[] addresses = new nint[ranks.Length];
    private readonly int[] numbers = new int[ranks.Length];
    private readonly InProcessGroup?[] children = new InProcessGroup?[ranks.Length];
    private readonly Lock counting = new();
    private int arrived, round;
    private Departure? left;

    public int Size => ranks.Length;

    public RankFailure? Failure => world.Failure;

    public CancellationToken Failed => world.Failed;

    /// <summary>Where the members' values lie, from <see cref="Enter"/> to <see cref="Leave"/>.</summary>
    public ReadOnlySpan<nint> Addresses => addresses;

    public void Join(int member) => world.Joined(ranks[member]);

    /// <summary>Returns once all members are here and have come for the same.</summary>
    /// <exception cref="CollectiveException">They have not, or one of the run's ranks has failed.</exception>
    public void Enter(int member, in CollectiveCall call, nint address)
    {
        world.ThrowIfFailed(call);
        (calls[member], addresses[member]) = (call, address);
        Meet(member, mayFail: true);
        if (CollectiveCall.Disagreement(calls, ranks) is { } disagreement)
        {
            world.Fail(disagreement);
            throw disagreement.During(call);
        }
    }

    /// <summary>Returns once all members are done. Nothing can hold them up, so a failure elsewhere does not end it: memory is in use until then.</summary>
    public void Leave(int member)
    {
        Meet(member, mayFail: false);
        world.Finished(ranks[member]);
    }

    /// <summary>The new group, and the number in it, of a member that gave <paramref name="number"/>.</summary>
    public (InProcessGroup Group, int Member) Split(int member, in CollectiveCall call, int number, bool beside)
    {
        numbers[member] = number;
        Enter(member, call, 0);
        int[] members = [.. Enumerable.Range(0, Size).Where(m => numbers[m] == number)];
        if (member == members[0])
            children[member] = new(world, [.. members.Select(m => ranks[m])], beside);
        Meet(member, mayFail: false);
        var child = children[members[0]]!;
        Leave(member);
        return (child, Array.IndexOf(members, member));
    }

    public void Fail(int member, Exception reason) => world.Fail(RankFailure.Of(ranks[member], reason));

    /// <summary>The member does not come again.</summary>
    public void Quit(int member)
    {
        Interlocked.CompareExchange(ref left, new(member, Stopwatch.GetTimestamp()), null);
        world.Left(ranks[member]);
    }

    private void Meet(int member, bool mayFail)
    {
        int seen = round;
        bool last;
        lock (counting)
        {
            last = ++arrived == Size;
            if (last)
            {
                arrived = 0;
                Volatile.Write(ref round, seen + 1);
            }
        }
        if (last)
            world.Wake();
        else if (!Spin(member, seen))
            Sleep(member, seen, mayFail);
    }

    /// <summary>Waits as long as there is something to do for the others, and a moment longer.</summary>
    private bool Spin(int member, int seen)
    {
        long start = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref round) == seen)
        {
            if (!beside && world.HelpOthers(ranks[member]))
                start = Stopwatch.GetTimestamp();
            else if (Stopwatch.GetElapsedTime(start) > spinTime)
                return false;
            Thread.Yield();
        }
        return true;
    }

    private void Sleep(int member, int seen, bool mayFail)
    {
        while (!world.Sleep(ranks[member], calls[member], () => Volatile.Read(ref round) != seen, HasLeft))
            if (mayFail && Withdraw(seen))
                world.ThrowIfFailed(calls[member]);
    }

    /// <summary>Who fails leaves its groups too, often before it says so: a moment later it has.</summary>
    private RankFailure? HasLeft() => Volatile.Read(ref left) is { } gone && Stopwatch.GetElapsedTime(gone.Since) > world.Looks
        ? new(ranks[gone.Member], "has left", "it ended its part of the group while others go on") : null;

    /// <summary>Takes the arrival back, so that nobody touches the memory of a member that is gone.</summary>
    /// <returns>False: too late, all have arrived.</returns>
    private bool Withdraw(int seen)
    {
        lock (counting)
        {
            if (round != seen)
                return false;
            arrived--;
            return true;
        }
    }

    private sealed record Departure(int Member, long Since);
}
