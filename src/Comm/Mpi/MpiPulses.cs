using System.Diagnostics;
using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>
/// A thread beside the work that tells the other processes four times a second how far this one is, and hears it from them. While a thread here waits for others it
/// looks for one that is gone, silent, has left or stands still. The end of a run is told the same way: once a failure is known the others hear of it, then nothing
/// here calls MPI any more.
/// </summary>
internal sealed unsafe class MpiPulses
{
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(0.25), Notice = TimeSpan.FromSeconds(1);

    private readonly MpiWorld world;
    private readonly nint group;
    private readonly MpiNeighbours neighbours;
    private readonly TimeSpan patience;
    private readonly Func<RankStatus> status;
    private readonly StallWatch watch;
    private readonly Peer[] peers;
    private readonly HostMemory memory = new();
    private readonly AutoResetEvent call = new(false);
    private readonly ManualResetEventSlim told = new();
    private readonly Thread thread;
    private RankFailure? pending, own;
    private volatile bool leaving;

    /// <param name="status">How far this process is.</param>
    public MpiPulses(MpiWorld world, nint group, MpiNeighbours neighbours, TimeSpan patience, Func<RankStatus> status)
    {
        (this.world, this.group, this.neighbours, this.patience, this.status) = (world, group, neighbours, patience, status);
        watch = new(world.Size, patience);
        byte* messages = memory.AtLeast(2L * world.Size * MpiPulse.Bytes);
        peers = new Peer[world.Size];
        for (int r = 0; r < world.Size; r++)
            peers[r] = new(r, (nint)(messages + 2L * r * MpiPulse.Bytes));
        thread = new(Work) { IsBackground = true, Name = "pulses" };
        thread.Start();
    }

    /// <summary>Ends the run; see <see cref="MpiWorld.Fail"/>.</summary>
    public void Fail(RankFailure reason)
    {
        own = reason;
        Interlocked.CompareExchange(ref pending, reason, null);
        call.Set();
        told.Wait(2 * Notice);
        world.SetFailure(reason);
    }

    /// <summary>Returns once all others leave too, or the run has failed.</summary>
    public void Leave()
    {
        leaving = true;
        call.Set();
        thread.Join();
    }

    private void Work()
    {
        try
        {
            foreach (var peer in Others)
                Listen(peer);
            var asked = Stopwatch.GetTimestamp();
            while (pending is null && !(leaving && Others.All(p => p.HasLeft && p.IsTold)))
            {
                if (Stopwatch.GetElapsedTime(asked) > patience / 2)
                    foreach (var peer in Others) // it is this process that was not awake
                        peer.Heard = Stopwatch.GetTimestamp();
                asked = Stopwatch.GetTimestamp();
                Hear();
                Tell();
                if (pending is null && Judge() is { } reason)
                    Interlocked.CompareExchange(ref pending, reason, null);
                if (pending is null)
                    call.WaitOne(leaving ? Beat / 25 : Beat);
            }
            if (pending is { } reasonHeard && reasonHeard != own)
                world.Hear(reasonHeard);
            if (pending is not null)
                TellTheEnd();
        }
        catch (KernelException e)
        {
            Interlocked.CompareExchange(ref pending, RankFailure.Of(world.Rank, e), null);
        }
        if (pending is not null)
            world.SetFailure(pending);
        told.Set();
    }

    private IEnumerable<Peer> Others => peers.Where(p => p.Rank != world.Rank);

    private void Listen(Peer peer) => world.Mpi.Receive((void*)peer.Incoming, MpiPulse.Bytes, peer.Rank, group, out peer.Receiving);

    private void Hear()
    {
        foreach (var peer in Others)
            while (!peer.HasLeft && world.Mpi.IsDone(ref peer.Receiving))
            {
                var pulse = (MpiPulse*)peer.Incoming;
                (peer.Status, peer.Heard) = (pulse->Status, Stopwatch.GetTimestamp());
                if (pulse->State == MpiPulseState.Failed)
                    Interlocked.CompareExchange(ref pending, pulse->Failure, null);
                peer.HasLeft = pulse->State == MpiPulseState.Leaving;
                if (!peer.HasLeft)
                    Listen(peer);
            }
    }

    private void Tell()
    {
        var waits = world.Waits();
        var now = status() with { Waiting = waits.Length, Call = waits.FirstOrDefault().Call };
        peers[world.Rank].Status = now;
        bool last = leaving;
        foreach (var peer in Others)
            if (peer.IsSent(world.Mpi) && !peer.SaidGoodbye)
            {
                ((MpiPulse*)peer.Outgoing)->Set(last ? MpiPulseState.Leaving : MpiPulseState.Alive, now);
                Send(peer);
                peer.SaidGoodbye = last;
            }
            else if (peer.SaidGoodbye)
                peer.IsTold = peer.IsSent(world.Mpi);
    }

    private void Send(Peer peer)
    {
        world.Mpi.Send((void*)peer.Outgoing, MpiPulse.Bytes, peer.Rank, group, out peer.Sending);
        peer.HasSent = true;
    }

    /// <summary>Whoever does not take the message within a moment will not be reached.</summary>
    private void TellTheEnd()
    {
        var open = Others.Where(p => !p.HasLeft && !p.SaidGoodbye).ToList();
        long start = Stopwatch.GetTimestamp();
        while (open.Count > 0 && Stopwatch.GetElapsedTime(start) < Notice)
        {
            open.RemoveAll(peer =>
            {
                if (!peer.IsSent(world.Mpi))
                    return false;
                if (peer.SaidGoodbye)
                    return true;
                ((MpiPulse*)peer.Outgoing)->Set(pending!);
                Send(peer);
                peer.SaidGoodbye = true;
                return peer.IsSent(world.Mpi);
            });
            if (open.Count > 0)
                Thread.Sleep(1);
        }
    }

    /// <summary>Whose fault it is that a thread here waits in vain, if it is so.</summary>
    private RankFailure? Judge()
    {
        if (neighbours.Missing(rank => !peers[rank].HasLeft) is { } missing)
            return new(missing.Rank, "is gone", $"its process {missing.Process} has ended");
        var waits = world.Waits();
        if (waits.Length == 0 && !leaving)
            return null;
        foreach (var peer in Others)
        {
            if (peer.HasLeft && waits.Any(w => w.Ranks.Contains(peer.Rank)))
                return new(peer.Rank, "has left", "it ended its part of the group while others go on");
            if (!peer.HasLeft && Stopwatch.GetElapsedTime(peer.Heard) > patience)
                return new(peer.Rank, "is silent", FormattableString.Invariant($"its process has not been heard of for {patience.TotalSeconds:0.#} s; it is stopped, or its machine or the network is down"));
        }
        return waits.Length == 0 ? null : watch.Observe([.. peers.Select(p => p.HasLeft ? p.Status with { IsBusy = true } : p.Status)], Stopwatch.GetElapsedTime(0));
    }

    private sealed class Peer(int rank, nint memory)
    {
        public nint Receiving, Sending;

        public int Rank => rank;

        public nint Incoming => memory;

        public nint Outgoing => memory + MpiPulse.Bytes;

        public RankStatus Status { get; set; }

        /// <summary>When its last message came.</summary>
        public long Heard { get; set; } = Stopwatch.GetTimestamp();

        /// <summary>Its last message said that no other comes.</summary>
        public bool HasLeft { get; set; }

        public bool HasSent { get; set; }

        /// <summary>No message goes to it any more after the one that is on its way.</summary>
        public bool SaidGoodbye { get; set; }

        /// <summary>The last message has arrived.</summary>
        public bool IsTold { get; set; }

        public bool IsSent(MpiNative mpi) => !HasSent || mpi.IsDone(ref Sending);
    }
}
