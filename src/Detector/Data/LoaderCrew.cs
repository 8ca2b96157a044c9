using System.Runtime.ExceptionServices;

namespace CudaKernels.Detection;

/// <summary>
/// Worker threads that fill batches slot by slot. Batches are started and taken in order; an error in a slot reaches whoever takes the
/// batch, and of several always the one in the lowest slot, so that it does not depend on timing.
/// </summary>
internal sealed class LoaderCrew : IDisposable
{
    private readonly object gate = new();
    private readonly Queue<Job> started = new(); // not yet taken
    private readonly Action<Batch, int> fill;
    private readonly Thread[] threads;
    private bool stopping;

    public LoaderCrew(int workers, Action<Batch, int> fill)
    {
        this.fill = fill;
        threads = new Thread[workers];
        for (var i = 0; i < workers; i++)
        {
            threads[i] = new Thread(Work) { IsBackground = true, Name = $"loader {i}" };
            threads[i].Start();
        }
    }

    /// <summary>Lets the workers fill a batch after those started before; null does nothing.</summary>
    public void Start(Batch? batch)
    {
        if (batch is null) return;
        lock (gate)
        {
            started.Enqueue(new Job(batch));
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Waits for the oldest started batch and hands it over, or throws what went wrong in it.</summary>
    public Batch Take()
    {
        Job job;
        lock (gate)
        {
            job = started.Peek();
            while (job.Done < job.Batch.Count) Monitor.Wait(gate);
            started.Dequeue();
        }

        if (job.Error is null) return job.Batch;
        job.Batch.Dispose();
        job.Error.Throw();
        throw job.Error.SourceException;
    }

    /// <summary>Ends the workers after the picture each has in hand; batches that nobody took go back.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            stopping = true;
            Monitor.PulseAll(gate);
        }

        foreach (var thread in threads) thread.Join();
        foreach (var job in started) job.Batch.Dispose();
    }

    private void Work()
    {
        while (true)
        {
            Job? job;
            int slot;
            lock (gate)
            {
                while ((job = started.FirstOrDefault(open => open.Next < open.Batch.Count)) is null && !stopping) Monitor.Wait(gate);
                if (stopping) return;
                slot = job!.Next++;
            }

            ExceptionDispatchInfo? error = null;
            try
            {
                fill(job.Batch, slot);
            }
            catch (Exception caught)
            {
                error = ExceptionDispatchInfo.Capture(caught);
            }

            lock (gate)
            {
                if (error is not null && slot < job.ErrorSlot) (job.Error, job.ErrorSlot) = (error, slot);
                if (++job.Done == job.Batch.Count) Monitor.PulseAll(gate);
            }
        }
    }

    private sealed class Job(Batch batch)
    {
        public readonly Batch Batch = batch;
        public int Next;
        public int Done;
        public ExceptionDispatchInfo? Error;
        public int ErrorSlot = int.MaxValue;
    }
}
