using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// A device reached through ILGPU: "cuda:0", and for verification "opencl:0" and "ilgpu-cpu". Kernels, fills and copies on the device share
/// the compute stream, so they run in the order they were given; uploads have a stream of their own and wait only for work on the
/// block they write. Launchers are held strongly: the library's cache is weak, and a collected kernel would be compiled again.
/// Any thread may use the device; they take turns.
/// </summary>
internal partial class GpuDevice : Device
{
    /// <summary>Threads of a group where a kernel has no reason for another number.</summary>
    public const int GroupSize = 256;

    private readonly Context context;
    private readonly Accelerator accelerator;
    private readonly AcceleratorStream compute, copy;
    private readonly StreamEvent computed, uploaded;
    private readonly List<SideStream> sides = [];
    private readonly Staging uploads, downloads;
    private readonly GpuMemoryPool pool;
    private readonly Dictionary<MethodInfo, Delegate> launchers = [];
    private readonly Lock gate = new();
    private MethodInfo? lastKernel;
    private string? compilerFailure;
    private long syncs = 1; // moments at which the host knew that the device had nothing to do
    private int running;    // depth of Run: an operation may keep views over a moment that it waits itself

    private GpuDevice(string name, Context context, Accelerator accelerator)
    {
        Name = name;
        this.context = context;
        this.accelerator = accelerator;
        (compute, copy) = (accelerator.CreateStream(), accelerator.CreateStream());
        (computed, uploaded) = (StreamEvent.Create(accelerator), StreamEvent.Create(accelerator));
        (uploads, downloads) = (new Staging(accelerator), new Staging(accelerator));
        pool = new GpuMemoryPool(this, accelerator);
    }

    /// <summary>A device whose memory is the processor's, for one that overrides <see cref="Start"/> with its own way to run kernels.</summary>
    protected GpuDevice(string name) : this(name, HostMemory()) { }

    private GpuDevice(string name, Context context) : this(name, context, context.GetCPUDevice(0).CreateAccelerator(context)) { }

    public override string Name { get; }

    public override MemoryPool Pool => pool;

    /// <summary>How products are cut into tiles for tensor cores.</summary>
    public TileTable Tiles { get; set; } = TileTable.Default;

    /// <summary>From sm_80 on they take TF32 and bf16; ILGPU's processor device computes what their instructions mean.</summary>
    protected override bool HasTensorCores => accelerator is CudaAccelerator cuda ? cuda.Architecture >= PtxPatch.Architectures[0]
        : accelerator is CPUAccelerator && accelerator.WarpSize == TensorCore.WarpSize;

    /// <summary>What is below this class, for checks of the driver and libraries that take its handles.</summary>
    public Accelerator Accelerator => accelerator;

    /// <summary>The stream of all kernels.</summary>
    public AcceleratorStream Stream => compute;

    /// <summary>The kernels launched so far.</summary>
    public IReadOnlyCollection<MethodInfo> Kernels => launchers.Keys;

    public override void Run<TKernel>(in TKernel kernel)
    {
        kernel.Validate();
        lock (gate)
        {
            using var _ = Occupy();
            running++;
            try
            {
                Algorithm = null;
                if (Profiler is not { } profiler)
                {
                    kernel.Run(this);
                    return;
                }
                long start = Stopwatch.GetTimestamp();
                kernel.Run(this);
                compute.Synchronize();
                profiler.Add(typeof(TKernel).Name, Algorithm, Stopwatch.GetElapsedTime(start).TotalSeconds, kernel.Cost);
            }
            catch (AcceleratorException e)
            {
                throw Failure(typeof(TKernel).Name, e);
            }
            finally
            {
                running--;
            }
        }
    }

    /// <summary>
    /// Starts <paramref name="groups"/> groups of <paramref name="groupSize"/> threads; nothing for none. Kernels number their threads with a
    /// 32-bit integer, so there may be no more than that holds.
    /// </summary>
    public void Launch<TArguments>(Action<TArguments> kernel, long groups, int groupSize, TArguments arguments) where TArguments : struct
    {
        if (groups <= 0)
            return;
        if (groups > int.MaxValue / groupSize)
            throw new KernelException($"{KernelLoader.NameOf(kernel.Method)}: a launch has at most {int.MaxValue} threads but {groups} groups of {groupSize} are asked for; use a smaller batch or image size");
        lock (gate)
        {
            lastKernel = kernel.Method;
            try
            {
                accelerator.Bind();
                Start(kernel.Method, (int)groups, groupSize, arguments);
            }
            catch (AcceleratorException e)
            {
                throw Failure(KernelLoader.NameOf(kernel.Method), e);
            }
        }
    }

    /// <summary>One thread for each of <paramref name="count"/> elements, in groups of <see cref="GroupSize"/>; the kernel checks the end.</summary>
    public void LaunchFor<TArguments>(Action<TArguments> kernel, long count, TArguments arguments) where TArguments : struct =>
        Launch(kernel, (count + GroupSize - 1) / GroupSize, GroupSize, arguments);

    /// <summary>Every launch comes through here; at least one group.</summary>
    protected virtual void Start<TArguments>(MethodInfo kernel, int groups, int groupSize, TArguments arguments) where TArguments : struct
    {
        if (groups > accelerator.MaxGridSize.X || groupSize > accelerator.MaxNumThreadsPerGroup)
            throw new KernelException($"{KernelLoader.NameOf(kernel)}: {Name} starts at most {accelerator.MaxGridSize.X} groups of {accelerator.MaxNumThreadsPerGroup} threads but {groups} of {groupSize} are asked for");
        if (!launchers.TryGetValue(kernel, out var launcher))
            launchers[kernel] = launcher = Load<TArguments>(kernel);
        ((Action<AcceleratorStream, KernelConfig, TArguments>)launcher)(compute, (groups, groupSize), arguments);
    }

    /// <summary>
    /// Milliseconds that each repetition of <paramref name="work"/> took, by the device's own clock on CUDA and by the host's, which waits in between,
    /// elsewhere. The work is given to the device without waiting; run it once before, so that no kernel is compiled on the way.
    /// </summary>
    public double[] Time(Action work, int repetitions)
    {
        accelerator.Bind();
        var events = new StreamEvent[repetitions + 1];
        try
        {
            for (int i = 0; i < events.Length; i++)
                events[i] = StreamEvent.Create(accelerator, timing: true);
            events[0].Record(compute);
            for (int i = 1; i < events.Length; i++)
            {
                work();
                events[i].Record(compute);
            }
            events[^1].Wait();
            return [.. events.Skip(1).Select((end, i) => end.Milliseconds(events[i]))];
        }
        catch (AcceleratorException e)
        {
            throw Failure("Time", e);
        }
        finally
        {
            foreach (var made in events)
                made?.Dispose();
        }
    }

    /// <summary>Elements on the device, for one launch: ask anew for the next.</summary>
    public ArrayView<float> F32(TensorView view) => View<float>(view, DType.F32);

    public ArrayView<int> I32(TensorView view) => View<int>(view, DType.I32);

    public ArrayView<byte> U8(TensorView view) => View<byte>(view, DType.U8);

    public ArrayView<ushort> BF16(TensorView view) => View<ushort>(view, DType.BF16);

    /// <summary>A view of bf16 as words of two, for what moves them without looking.</summary>
    public ArrayView<float> Words(TensorView view) => BF16(view).Cast<float>();

    /// <summary>The records that lie in a view of bytes at multiples of their size.</summary>
    public ArrayView<T> Records<T>(TensorView bytes) where T : unmanaged
    {
        int size = Unsafe.SizeOf<T>();
        long start = Owned(bytes).Start + bytes.Offset * bytes.Type.Size(), skipped = (size - start % size) % size;
        return Bytes(bytes).SubView(skipped, (bytes.Bytes - skipped) / size * size).Cast<T>();
    }

    public override void Fill(TensorView view, float value)
    {
        if (value != 0)
            LaunchFor(FillKernel, view.Length, new FillArguments(F32(view), value));
        else if (view.Bytes > 0)
            Do("Fill", () => Bytes(view).MemSetToZero(compute));
    }

    public override void Copy(TensorView from, TensorView to)
    {
        Check.Shape("Copy", "to", to, from.Shape, from.Type);
        if (from.Bytes > 0)
            Do("Copy", () => Bytes(from).CopyTo(compute, Bytes(to)));
    }

    /// <summary>Returns once the values are taken over; kernels started afterwards see them.</summary>
    public override void Upload<T>(ReadOnlySpan<T> from, TensorView to)
    {
        Check.That((long)from.Length * Unsafe.SizeOf<T>() == to.Bytes, "Upload", "source", $"{to.Bytes} bytes for {to}", (long)from.Length * Unsafe.SizeOf<T>());
        if (from.Length == 0)
            return;
        lock (gate)
        {
            try
            {
                accelerator.Bind();
                bool busy = Owned(to).LastUse == syncs;
                if (busy)
                {
                    computed.Record(compute);
                    computed.Delay(copy);
                }
                uploads.Upload(from, Bytes(to), copy);
                uploaded.Record(copy);
                uploaded.Delay(compute);
            }
            catch (AcceleratorException e)
            {
                throw Failure("Upload", e);
            }
        }
    }

    public override void Download<T>(TensorView from, Span<T> to)
    {
        Check.That((long)to.Length * Unsafe.SizeOf<T>() == from.Bytes, "Download", "target", $"{from.Bytes} bytes for {from}", (long)to.Length * Unsafe.SizeOf<T>());
        if (to.Length == 0)
            return;
        lock (gate)
        {
            try
            {
                using var _ = Occupy();
                accelerator.Bind();
                downloads.Download(Bytes(from), to, compute);
                if (running == 0 && !sides.Exists(side => side.IsAhead))
                    syncs++;
            }
            catch (AcceleratorException e)
            {
                throw Failure("Download", e);
            }
        }
    }

    /// <summary>A stream for <see cref="Communicate"/>, to be closed or left to the device's end.</summary>
    public SideStream OpenSide()
    {
        SideStream? side = null;
        Do("OpenSide", () => sides.Add(side = new(accelerator)));
        return side!;
    }

    /// <summary>Waits for the stream's work.</summary>
    public void Close(SideStream side) => Do("Close", () =>
    {
        side.Stream.Synchronize();
        sides.Remove(side);
        side.Dispose();
    });

    /// <summary>
    /// Gives the stream work that starts after all computed so far, and runs beside what is computed next. Libraries may wait for other devices while they take it,
    /// so other threads may use this one meanwhile.
    /// </summary>
    public void Communicate(SideStream side, Action<AcceleratorStream> work)
    {
        Do("Communicate", () =>
        {
            side.Computed.Record(compute);
            side.Computed.Delay(side.Stream);
            side.IsAhead = true;
        });
        work(side.Stream);
    }

    /// <summary>What is computed from now on starts after all that the stream was given so far.</summary>
    public void Await(SideStream side) => Do("Await", () =>
    {
        side.Communicated.Record(side.Stream);
        side.Communicated.Delay(compute);
        side.IsAhead = false;
    });

    /// <summary>Returns once all that the stream was given so far is done; kernels go on meanwhile, and other threads may use the device.</summary>
    public void Finish(SideStream side)
    {
        Do("Finish", () => side.Communicated.Record(side.Stream));
        try
        {
            side.Communicated.Wait();
        }
        catch (AcceleratorException e)
        {
            throw Failure("Finish", e);
        }
        side.IsAhead = false;
    }

    public override void Synchronize() => Do("Synchronize", () =>
    {
        copy.Synchronize();
        foreach (var side in sides)
        {
            side.Stream.Synchronize();
            side.IsAhead = false;
        }
        compute.Synchronize();
        if (running == 0)
            syncs++;
    });

    public override void Dispose()
    {
        lock (gate)
        {
            try
            {
                Synchronize();
                foreach (var part in (IDisposable[])[uploads, downloads, computed, uploaded, .. sides, pool, compute, copy])
                    part.Dispose();
                if (accelerator is CudaAccelerator cuda)
                    PrimaryContext.Dispose(cuda);
                else
                    accelerator.Dispose();
            }
            catch (Exception e) when (e is AcceleratorException or KernelException)
            {
                // The device is lost: what was on it is gone already, and whoever used it last has been told.
            }
            context.Dispose();
        }
    }

    internal readonly record struct FillArguments(ArrayView<float> Y, float Value);

    private static void FillKernel(FillArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Y.Length)
            a.Y[i] = a.Value;
    }

    private Action<AcceleratorStream, KernelConfig, TArguments> Load<TArguments>(MethodInfo kernel) where TArguments : struct
    {
        // The compiler does not survive a failure: what it says of the next kernel would be nonsense.
        if (compilerFailure is not null)
            throw new KernelException($"{KernelLoader.NameOf(kernel)}: {Name} compiles nothing more since this failed: {compilerFailure}");
        try
        {
            return KernelLoader.Load<Action<AcceleratorStream, KernelConfig, TArguments>>(accelerator, kernel);
        }
        catch (KernelException e)
        {
            compilerFailure = e.Message;
            throw;
        }
    }

    /// <summary>Something on the streams, by one thread at a time, with the device bound to it.</summary>
    private void Do(string operation, Action work)
    {
        lock (gate)
        {
            using var _ = Occupy();
            try
            {
                accelerator.Bind();
                work();
            }
            catch (AcceleratorException e)
            {
                throw Failure(operation, e);
            }
        }
    }

    /// <summary>A driver reports what a kernel did wrong at some later call, so the kernel started last is named too.</summary>
    private KernelException Failure(string operation, AcceleratorException e)
    {
        string started = lastKernel is null || KernelLoader.NameOf(lastKernel) == operation ? "" : $" (the kernel started last is {KernelLoader.NameOf(lastKernel)})";
        return new KernelException($"{operation}: {Name} failed{started}: {KernelLoader.Words(e)}");
    }

    private GpuBuffer Owned(TensorView view) => view.Buffer is GpuBuffer buffer && buffer.Device == this ? buffer
        : throw new KernelException($"TensorView: {view} is used on {Name} but lives on {view.Buffer.Device.Name}");

    private ArrayView<byte> Bytes(TensorView view)
    {
        var buffer = Owned(view);
        buffer.LastUse = syncs;
        return buffer.View.SubView(view.Offset * view.Type.Size(), view.Bytes);
    }

    private ArrayView<T> View<T>(TensorView view, DType type) where T : unmanaged =>
        view.IsNone ? default
        : view.Type != type ? throw new KernelException($"TensorView: {view} was read as {type.Label()}")
        : Bytes(view).Cast<T>();
}
