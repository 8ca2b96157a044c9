using System.Diagnostics;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>What all groups of one run have in common: where its ranks are, who has failed, and the one place where threads that wait sleep.</summary>
internal sealed class InProcessWorld(IReadOnlyList<Device> devices, TimeSpan patience)
{
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(0.5);

    private readonly object gate = new();
    private readonly StallWatch watch = new(devices.Count, patience);
    private readonly TimeSpan looks = patience / 8 < Look ? patience / 8 : Look;
    private readonly int[] waiting = new int[devices.Count];
    private readonly long[] finished = new long[devices.Count];
    private readonly CollectiveCall[] calls = new CollectiveCall[devices.Count];
    private RankFailure? failure;
    private int sleepers;
    private long looked;

    public int Size => devices.Count;

    public RankFailure? Failure => Volatile.Read(ref failure);

    /// <summary>The first failure counts; everyone who sleeps awakes.</summary>
    public void Fail(RankFailure reason)
    {
        Interlocked.CompareExchange(ref failure, reason, null);
        lock (gate)
            Monitor.PulseAll(gate);
    }

    public void ThrowIfFailed(in CollectiveCall call)
    {
        if (Failure is { } reason)
            throw reason.During(call);
    }

    public void Finished(int rank) => Interlocked.Increment(ref finished[rank]);

    /// <summary>Something changed that a sleeper may wait for.</summary>
    public void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref sleepers) > 0)
            lock (gate)
                Monitor.PulseAll(gate);
    }

    /// <summary>Sleeps until <paramref name="done"/>, unless the run fails before; while it sleeps it looks whether anyone hangs.</summary>
    /// <returns>Whether it is done.</returns>
    public bool Sleep(int rank, in CollectiveCall call, Func<bool> done)
    {
        lock (gate)
        {
            calls[rank] = call;
            waiting[rank]++;
            Interlocked.Increment(ref sleepers); // before the condition is read: who fulfils it reads this afterwards
            while (!done() && Failure is null)
                if (!Monitor.Wait(gate, looks) && Stopwatch.GetElapsedTime(looked) >= looks)
                    LookAround();
            sleepers--;
            waiting[rank]--;
            return done();
        }
    }

    private void LookAround()
    {
        looked = Stopwatch.GetTimestamp();
        var ranks = new RankStatus[Size];
        for (int r = 0; r < ranks.Length; r++)
            ranks[r] = new(devices[r].Pulse + Volatile.Read(ref finished[r]), devices[r].IsBusy, waiting[r], calls[r]);
        if (watch.Observe(ranks, Stopwatch.GetElapsedTime(0)) is { } stall)
            Fail(stall);
    }
}
