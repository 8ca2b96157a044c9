using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>Work over a range of independent tasks. Holds pointers and numbers only, so a call allocates nothing.</summary>
internal interface IRangeBody
{
    /// <summary>Does tasks [start, end); <paramref name="worker"/> in [0, threads) names scratch space of its own.</summary>
    void Invoke(int start, int end, int worker);
}

/// <summary>
/// A fixed team of threads. Worker w of T begins with tasks [w·n/T, (w+1)·n/T) and does half of what is left of them at a time; who has
/// done its own takes half of what another has left, so that a core that is slower than the others holds nobody up. A body must give the same
/// result however its range is cut; then results depend neither on the number of threads nor on who does what. A body must not call the team it
/// runs on. Callers on several threads take turns; disposal waits for the call under way.
/// <para>A team that admits a guest lets one more thread at a time, with nothing of its own to do, take tasks in the same way (<see cref="Help"/>).</para>
/// </summary>
internal sealed unsafe class ThreadTeam : IDisposable
{
    private const int SpinsBeforeSleep = 2000, Apart = 16;
    private const int Closed = 0, Open = 1, Inside = 2;

    private readonly Thread[] workers;
    private readonly Lock callGate = new();
    private readonly object sleepGate = new();
    private delegate*<void*, int, int, int, void> job;
    private void* body;
    private readonly long[] left; // of each worker the range of tasks nobody has taken yet, packed; two cache lines apart
    private int least;            // tasks to take at a time
    private int sleeping;
    private volatile int generation;
    private volatile int pending;
    private volatile bool stopping;
    private int door; // of the guest
    private ExceptionDispatchInfo? failure;

    public ThreadTeam(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        left = new long[(threads + 1) * Apart];
        workers = new Thread[threads - 1];
        for (int i = 0; i < workers.Length; i++)
        {
            int id = i + 1;
            workers[i] = new Thread(() => Work(id)) { IsBackground = true, Name = $"kernel worker {id}" };
            workers[i].Start();
        }
    }

    /// <summary>Threads that may be at work at once, a guest among them.</summary>
    public int Threads { get; private set; }

    /// <summary>From the next call on there is room for a guest.</summary>
    public void AdmitGuest()
    {
        lock (callGate)
            Threads = workers.Length + 2;
    }

    /// <summary>Does tasks of the call under way until none is left to take; nothing where there is no call, or no room for a guest.</summary>
    /// <returns>Whether there was room.</returns>
    public bool Help()
    {
        if (Interlocked.CompareExchange(ref door, Inside, Open) != Open)
            return false;
        Share(Threads - 1);
        Volatile.Write(ref door, Open);
        return true;
    }

    /// <summary>Runs the body over [0, count); fewer than <paramref name="grain"/> tasks a thread are not worth waking one.</summary>
    public void For<TBody>(int count, TBody work, int grain = 1) where TBody : unmanaged, IRangeBody
    {
        if (count <= 0)
            return;
        if (Threads == 1 || count < 2 * grain)
        {
            work.Invoke(0, count, 0);
            return;
        }
        if (callGate.IsHeldByCurrentThread || Array.IndexOf(workers, Thread.CurrentThread) >= 0)
            throw new KernelException("ThreadTeam.For: called from a body that runs on the same team; divide the work in one call");
        lock (callGate)
        {
            ObjectDisposedException.ThrowIf(stopping, this);
            body = &work;
            job = &Invoke<TBody>;
            least = grain;
            int members = workers.Length + 1;
            for (int id = 0; id < members; id++)
                left[id * Apart] = Pack((int)((long)count * id / members), (int)((long)count * (id + 1) / members));
            left[members * Apart] = Pack(0, 0);
            pending = workers.Length;
            bool guest = Threads > members;
            if (guest)
                Volatile.Write(ref door, Open);
            if (workers.Length > 0)
                lock (sleepGate)
                {
                    generation++;
                    if (sleeping > 0)
                        Monitor.PulseAll(sleepGate);
                }
            Share(0);
            var spin = new SpinWait();
            while (pending > 0 || guest && Interlocked.CompareExchange(ref door, Closed, Open) == Inside)
                spin.SpinOnce(sleep1Threshold: -1);
            var failed = failure;
            failure = null;
            failed?.Throw();
        }
    }

    public void Dispose()
    {
        lock (callGate)
            lock (sleepGate)
            {
                stopping = true;
                generation++;
                Monitor.PulseAll(sleepGate);
            }
        foreach (var worker in workers)
            worker.Join();
    }

    private static void Invoke<TBody>(void* body, int start, int end, int worker) where TBody : unmanaged, IRangeBody =>
        Unsafe.AsRef<TBody>(body).Invoke(start, end, worker);

    private void Work(int id)
    {
        int seen = 0;
        while (true)
        {
            Await(seen);
            if (stopping)
                return;
            seen = generation;
            Share(id);
            Interlocked.Decrement(ref pending);
        }
    }

    private void Await(int seen)
    {
        for (int i = 0; i < SpinsBeforeSleep; i++)
        {
            if (generation != seen)
                return;
            Thread.SpinWait(20);
        }
        lock (sleepGate)
        {
            sleeping++;
            while (generation == seen)
                Monitor.Wait(sleepGate);
            sleeping--;
        }
    }

    private void Share(int id)
    {
        try
        {
            do
                while (Take(id, out int start, out int end))
                    job(body, start, end, id);
            while (Steal(id));
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
        }
    }

    /// <summary>The next tasks of a worker's own.</summary>
    private bool Take(int id, out int start, out int end)
    {
        ref long own = ref left[id * Apart];
        while (true)
        {
            long seen = Volatile.Read(ref own);
            (start, int all) = Unpack(seen);
            end = start + Math.Min(all - start, Math.Max(least, (all - start + 1) / 2));
            if (start == all)
                return false;
            if (Interlocked.CompareExchange(ref own, Pack(end, all), seen) == seen)
                return true;
        }
    }

    /// <summary>Makes the later half of what another has left the worker's own, or all of it where a half is too little to be taken at a time.</summary>
    private bool Steal(int id)
    {
        for (int i = 1; i < Threads; i++)
        {
            ref long other = ref left[(id + i) % Threads * Apart];
            while (true)
            {
                long seen = Volatile.Read(ref other);
                var (start, end) = Unpack(seen);
                if (start == end || end - start < least)
                    break;
                int middle = end - start < 2 * least ? start : start + (end - start) / 2;
                if (Interlocked.CompareExchange(ref other, Pack(start, middle), seen) != seen)
                    continue;
                Volatile.Write(ref left[id * Apart], Pack(middle, end));
                return true;
            }
        }
        return false;
    }

    private static long Pack(int start, int end) => (long)start << 32 | (uint)end;

    private static (int Start, int End) Unpack(long range) => ((int)(range >> 32), (int)range);
}
