using System.Diagnostics;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>
/// This process among those that mpirun started. There is one in a process, opened and disposed by the same thread; all its groups have in common who
/// failed and how threads wait.
/// </summary>
internal sealed unsafe class MpiWorld : IDisposable
{
    private readonly List<(CollectiveCall Call, int[] Ranks)> waits = [];
    private readonly CancellationTokenSource failed = new();
    private readonly TimeSpan patience;
    private readonly nint pulses;
    private MpiPulses? watch;
    private RankFailure? failure;
    private CollectiveCall latest;
    private long finished;

    private MpiWorld(MpiNative mpi, TimeSpan patience)
    {
        Mpi = mpi;
        this.patience = patience;
        (Rank, Size) = (mpi.Rank(mpi.World), mpi.Size(mpi.World));
        pulses = mpi.Duplicate(mpi.World);
    }

    public MpiNative Mpi { get; }

    public int Rank { get; }

    public int Size { get; }

    /// <summary>
    /// Told at once, on a thread of its own, when another rank is found to be at fault: where that rank was killed, mpirun leaves the others no more than a second, and
    /// what a run saves as it ends may take longer. To be set before <see cref="Join"/>.
    /// </summary>
    public Action<CollectiveException>? Heard { get; set; }

    public CancellationToken Failed => failed.Token;

    public RankFailure? Failure => Volatile.Read(ref failure);

    /// <summary>Starts MPI; waits for all processes.</summary>
    /// <param name="patience">How long a rank that others wait for may show no sign of life; see <see cref="StallWatch"/>.</param>
    public static MpiWorld Open(TimeSpan? patience = null)
    {
        var mpi = MpiNative.Load();
        mpi.Initialize();
        return new(mpi, patience ?? InProcessCollective.DefaultPatience);
    }

    /// <summary>The group of all processes, this one with the device on which it computes. Once; waits for all.</summary>
    public ICollective Join(Device device)
    {
        int[] ranks = [.. Enumerable.Range(0, Size)];
        var group = new MpiCollective(this, Mpi.Duplicate(Mpi.World), ranks, device, beside: false);
        watch = new MpiPulses(this, pulses, MpiNeighbours.Find(group, device), patience, () => new(device.Pulse + Volatile.Read(ref finished), device.IsBusy, 0, default));
        return group;
    }

    /// <summary>Waits for the others to come to their end too, unless one failed; then MPI is left as it is, and mpirun ends what is left of the run.</summary>
    public void Dispose()
    {
        watch?.Leave();
        if (Failure is null)
            Mpi.Finish();
    }

    /// <summary>Ends the run. Returns once the others have been told as far as they can be; from then on MPI is not called any more.</summary>
    public void Fail(RankFailure reason)
    {
        if (watch is null)
            SetFailure(reason);
        else
            watch.Fail(reason);
    }

    public void ThrowIfFailed(in CollectiveCall call)
    {
        if (Failure is { } reason)
            throw reason.During(call);
    }

    /// <summary>An operation is over.</summary>
    public void Finished() => Interlocked.Increment(ref finished);

    /// <summary>Waits until all ranks have come to an operation, which may take long.</summary>
    /// <param name="beside">The core is wanted by another thread of this rank.</param>
    public void Meet(nint request, in CollectiveCall call, int[] ranks, bool beside)
    {
        lock (waits)
            latest = call;
        Wait(request, call, ranks, beside ? TimeSpan.FromMicroseconds(50) : TimeSpan.FromMilliseconds(5));
    }

    /// <summary>Waits for bytes on their way between ranks that are all there: they move only while someone asks for them.</summary>
    public void Finish(nint request, in CollectiveCall call, int[] ranks) => Wait(request, call, ranks, TimeSpan.FromSeconds(1));

    /// <summary>Tells the watch that no other failure will be known; see <see cref="Fail"/>.</summary>
    internal void SetFailure(RankFailure reason)
    {
        Interlocked.CompareExchange(ref failure, reason, null);
        failed.Cancel();
    }

    internal void Hear(RankFailure reason)
    {
        lock (waits)
            Heard?.Invoke(reason.During(waits.Count > 0 ? waits[0].Call : latest));
    }

    /// <summary>What threads of this process wait in, and for which ranks.</summary>
    internal (CollectiveCall Call, int[] Ranks)[] Waits()
    {
        lock (waits)
            return [.. waits];
    }

    /// <summary>Asks without pause for a moment, giving way to other threads; then a thousand times a second.</summary>
    private void Wait(nint request, in CollectiveCall call, int[] ranks, TimeSpan moment)
    {
        long start = Stopwatch.GetTimestamp();
        while (!Mpi.IsDone(ref request))
        {
            if (Stopwatch.GetElapsedTime(start) > moment)
            {
                WaitLong(request, call, ranks);
                return;
            }
            Thread.Yield();
        }
    }

    private void WaitLong(nint request, in CollectiveCall call, int[] ranks)
    {
        var wait = (call, ranks);
        lock (waits)
            waits.Add(wait);
        do
        {
            ThrowIfFailed(call);
            Thread.Sleep(1);
        }
        while (!Mpi.IsDone(ref request));
        lock (waits)
            waits.Remove(wait);
    }
}
