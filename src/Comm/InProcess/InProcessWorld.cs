using System.Diagnostics;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>What all groups of one run have in common: where its ranks are, who has failed, and the one place where threads that wait sleep.</summary>
internal sealed class InProcessWorld(IReadOnlyList<Device> devices, TimeSpan patience)
{
    private readonly object gate = new();
    private readonly StallWatch watch = new(devices.Count, patience);
    private readonly int[] waiting = new int[devices.Count];
    private readonly long[] finished = new long[devices.Count];
    private readonly int[] memberships = new int[devices.Count];
    private readonly CollectiveCall[] calls = new CollectiveCall[devices.Count];
    private readonly CancellationTokenSource failed = new();
    private RankFailure? failure;
    private int sleepers;
    private long looked;

    public int Size => devices.Count;

    /// <summary>How often who waits looks around.</summary>
    public TimeSpan Looks { get; } = TimeSpan.FromSeconds(Math.Min(0.5, patience.TotalSeconds / 8));

    public CancellationToken Failed => failed.Token;

    public RankFailure? Failure => Volatile.Read(ref failure);

    /// <summary>The first failure counts; everyone who sleeps awakes.</summary>
    public void Fail(RankFailure reason)
    {
        Interlocked.CompareExchange(ref failure, reason, null);
        lock (gate)
            Monitor.PulseAll(gate);
        failed.Cancel();
    }

    public void ThrowIfFailed(in CollectiveCall call)
    {
        if (Failure is { } reason)
            throw reason.During(call);
    }

    /// <summary>Does a share of what another rank's processor is at.</summary>
    /// <returns>Whether one let it in.</returns>
    public bool HelpOthers(int rank)
    {
        for (int i = 1; i < Size; i++)
            if (devices[(rank + i) % Size] is CpuDevice { Team: var team } && team.Help())
                return true;
        return false;
    }

    public void Joined(int rank) => Interlocked.Increment(ref memberships[rank]);

    public void Left(int rank) => Interlocked.Decrement(ref memberships[rank]);

    public void Finished(int rank) => Interlocked.Increment(ref finished[rank]);

    /// <summary>Something changed that a sleeper may wait for.</summary>
    public void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref sleepers) > 0)
            lock (gate)
                Monitor.PulseAll(gate);
    }

    /// <summary>
    /// Sleeps until <paramref name="done"/>, unless the run fails before; from time to time it looks whether anyone hangs and whether
    /// <paramref name="judge"/> finds something wrong.
    /// </summary>
    /// <returns>Whether it is done.</returns>
    public bool Sleep(int rank, in CollectiveCall call, Func<bool> done, Func<RankFailure?> judge)
    {
        lock (gate)
        {
            calls[rank] = call;
            waiting[rank]++;
            Interlocked.Increment(ref sleepers); // before the condition is read: who fulfils it reads this afterwards
            while (!done() && Failure is null)
                if (!Monitor.Wait(gate, Looks) && (judge() ?? LookAround()) is { } reason)
                    Fail(reason);
            sleepers--;
            waiting[rank]--;
            return done();
        }
    }

    /// <summary>One of those that sleep is enough.</summary>
    private RankFailure? LookAround()
    {
        if (Stopwatch.GetElapsedTime(looked) < Looks)
            return null;
        looked = Stopwatch.GetTimestamp();
        var ranks = new RankStatus[Size];
        for (int r = 0; r < ranks.Length; r++)
            ranks[r] = new(devices[r].Pulse + Volatile.Read(ref finished[r]), devices[r].IsBusy || Volatile.Read(ref memberships[r]) == 0, waiting[r], calls[r]);
        return watch.Observe(ranks, Stopwatch.GetElapsedTime(0));
    }
}
