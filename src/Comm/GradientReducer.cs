using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using CudaKernels.Kernels;
using CudaKernels.Layers;

namespace CudaKernels.Comm;

/// <summary>
/// Sums the gradients of all ranks while the backward pass goes on. The flat block is cut between parameters into buckets of about
/// <c>bucketBytes</c>; a bucket whose parameters are all complete goes to the communication thread, which has a group of its own. Buckets go
/// in one order on all ranks and in all steps: the one in which they came to their end in rank 0's first backward pass. A bucket that
/// is complete before its turn waits. How the block is cut does not change a bit of the sums.
/// </summary>
internal sealed class GradientReducer : IDisposable
{
    /// <summary>Large enough to use a network well, small enough that most of the block is under way before the backward pass ends.</summary>
    public const int DefaultBucketBytes = 4 << 20;

    private readonly ParameterSet set;
    private readonly ICollective group;
    private readonly Bucket[] buckets;
    private readonly Dictionary<Parameter, int> bucketOf = [];
    private readonly BlockingCollection<Bucket> ready = [];
    private readonly List<int> completed = []; // buckets, in the order of this step
    private readonly Thread? thread;
    private int[]? order;                      // of all steps; unknown in the first
    private int started, reduced;
    private ExceptionDispatchInfo? failure;

    /// <param name="set">Whose gradients; the same parameters on every rank.</param>
    /// <param name="group">All ranks; the reducer takes a group of its own from it, so every rank makes its reducer at the same point.</param>
    /// <param name="bucketBytes">Least size of a bucket.</param>
    public GradientReducer(ParameterSet set, ICollective group, int bucketBytes = DefaultBucketBytes)
    {
        this.set = set;
        this.group = group.Split(0, beside: true);
        buckets = Cut(set, bucketBytes);
        for (int i = 0; i < buckets.Length; i++)
            foreach (var parameter in buckets[i].Parameters)
                bucketOf.Add(parameter, i);
        if (group.Size == 1)
            return;
        thread = new Thread(Communicate) { IsBackground = true, Name = "gradient reducer" };
        thread.Start();
    }

    /// <summary>What was sent so far.</summary>
    public CollectiveTraffic Traffic => group.Traffic;

    /// <summary>Before the backward pass whose end completes the gradients.</summary>
    public void Begin()
    {
        completed.Clear();
        (started, reduced) = (0, 0);
        foreach (var bucket in buckets)
            bucket.Missing = bucket.Parameters.Count;
    }

    /// <summary>The parameter's gradient has had its last contribution on this rank.</summary>
    public void Complete(Parameter parameter)
    {
        int index = bucketOf[parameter];
        if (--buckets[index].Missing > 0)
            return;
        completed.Add(index);
        StartWhatIsDue();
    }

    /// <summary>Ends the step's backward pass: parameters that no gradient reached count as zero; returns once all gradients are sums over the ranks.</summary>
    public void Finish()
    {
        for (int i = 0; i < buckets.Length; i++)
            if (buckets[i].Missing > 0)
            {
                buckets[i].Missing = 0;
                completed.Add(i);
            }
        order ??= OrderOfRankZero();
        StartWhatIsDue();
        if (thread is null)
            return;
        lock (ready)
            while (reduced < buckets.Length && failure is null)
                Monitor.Wait(ready);
        failure?.Throw();
    }

    public void Dispose()
    {
        ready.CompleteAdding();
        thread?.Join(); // a run that ends in failure has told the groups so, and no operation lasts
        group.Dispose();
        ready.Dispose();
    }

    private static Bucket[] Cut(ParameterSet set, int bucketBytes)
    {
        var buckets = new List<Bucket>();
        var parameters = new List<Parameter>();
        long start = 0;
        var all = set.Named.Select(n => n.Parameter).OrderBy(p => p.Gradient.Offset).ToArray();
        for (int i = 0; i < all.Length; i++)
        {
            parameters.Add(all[i]);
            long end = i + 1 < all.Length ? all[i + 1].Gradient.Offset - set.Gradients.Offset : set.Gradients.Length;
            if ((end - start) * sizeof(float) < bucketBytes && i + 1 < all.Length)
                continue;
            buckets.Add(new(set.Gradients.Slice(start, new Shape(checked((int)(end - start)))), [.. parameters]));
            parameters.Clear();
            start = end;
        }
        return [.. buckets];
    }

    private int[] OrderOfRankZero()
    {
        var view = set.Device.Rent(new Shape(buckets.Length), DType.I32, nameof(GradientReducer));
        try
        {
            int[] numbers = [.. completed];
            set.Device.Upload<int>(numbers, view);
            group.Broadcast(view, root: 0);
            set.Device.Download<int>(view, numbers);
            return numbers;
        }
        finally
        {
            set.Device.Return(view);
        }
    }

    private void StartWhatIsDue()
    {
        for (; order is not null && started < order.Length && buckets[order[started]] is { Missing: 0 } bucket; started++)
        {
            foreach (var parameter in bucket.Parameters)
                set.CompleteGradient(parameter);
            if (thread is not null)
                ready.Add(bucket);
        }
    }

    private void Communicate()
    {
        try
        {
            foreach (var bucket in ready.GetConsumingEnumerable())
            {
                group.AllReduce(bucket.View, Reduction.Sum);
                lock (ready)
                {
                    reduced++;
                    Monitor.PulseAll(ready);
                }
            }
        }
        catch (Exception e)
        {
            lock (ready)
            {
                failure = ExceptionDispatchInfo.Capture(e);
                Monitor.PulseAll(ready);
            }
        }
    }

    private sealed class Bucket(TensorView view, IReadOnlyList<Parameter> parameters)
    {
        public TensorView View => view;

        public IReadOnlyList<Parameter> Parameters => parameters;

        /// <summary>Parameters that are not complete yet.</summary>
        public int Missing { get; set; }
    }
}
