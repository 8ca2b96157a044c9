namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Where kernels run and tensors live. <see cref="Run"/> is the one door: it validates, hands the kernel to its path and
/// lets the profiler see it. A device runs one kernel at a time; callers on several threads take turns.
/// </summary>
internal abstract class Device : IDisposable
{
    private long pulse;
    private int occupied;

    public abstract string Name { get; }

    public abstract MemoryPool Pool { get; }

    /// <summary>False where only shapes are computed: nothing needs to be filled in.</summary>
    public virtual bool HoldsValues => true;

    public Profiler? Profiler { get; set; }

    /// <summary>What convolutions and matrix products may be computed in.</summary>
    public Precision Precision { get; private set; }

    protected virtual bool HasTensorCores => false;

    /// <summary>The way the kernel under way goes, where there are several.</summary>
    protected string? Algorithm { get; set; }

    public abstract void Run<TKernel>(in TKernel kernel) where TKernel : struct, IKernel;

    /// <exception cref="KernelException">The device has no tensor cores for it.</exception>
    public void Use(Precision precision)
    {
        string name = precision.ToString().ToLowerInvariant();
        if (precision != Precision.Fp32 && !HasTensorCores)
            throw new KernelException($"precision {name} expects a CUDA device with tensor cores (sm_80 or newer) but the device is {Name}; use precision fp32");
        Precision = precision;
    }

    /// <summary>Called by a kernel that has a choice of algorithms: the profiler names the one that ran.</summary>
    public void Note(string algorithm) => Algorithm = algorithm;

    /// <summary>Declares the host's work from here until the result is disposed: whoever waits for this device bears with it, and the profiler, if there is one, names it.</summary>
    public HostWork HostWork(string name) => new(this, name);

    /// <summary>Grows with everything the device and the declared work of its host have done: what stands still for long without being <see cref="IsBusy"/> hangs.</summary>
    public long Pulse => Volatile.Read(ref pulse);

    /// <summary>Whether the device or declared work of its host is under way.</summary>
    public bool IsBusy => Volatile.Read(ref occupied) > 0;

    /// <summary>A block from the pool, its contents undefined.</summary>
    public TensorView Rent(Shape shape, DType type, string owner) =>
        new(Pool.Rent(Math.Max(1, shape.Length) * type.Size(), owner), 0, shape, type);

    public void Return(TensorView view) => Pool.Return(view.Buffer);

    public abstract void Fill(TensorView view, float value);

    public abstract void Copy(TensorView from, TensorView to);

    public abstract void Upload<T>(ReadOnlySpan<T> from, TensorView to) where T : unmanaged;

    public abstract void Download<T>(TensorView from, Span<T> to) where T : unmanaged;

    /// <summary>Returns once everything handed to <see cref="Run"/> has finished.</summary>
    public abstract void Synchronize();

    public abstract void Dispose();

    /// <summary>Something is under way until the result is disposed.</summary>
    internal Occupation Occupy()
    {
        Interlocked.Increment(ref occupied);
        return new(this);
    }

    /// <summary>See <see cref="Occupy"/>.</summary>
    internal readonly struct Occupation(Device device) : IDisposable
    {
        public void Dispose()
        {
            Interlocked.Increment(ref device.pulse);
            Interlocked.Decrement(ref device.occupied);
        }
    }
}
