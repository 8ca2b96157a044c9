using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// A device reached through ILGPU: "cuda:0", and for verification "opencl:0" and "ilgpu-cpu". Kernels, copies and fills share one
/// explicit stream, so they run in the order they were given. Launchers are held strongly: the library's cache is weak, and a
/// collected kernel would be compiled again.
/// </summary>
internal class GpuDevice : Device
{
    /// <summary>Threads of a group where a kernel has no reason for another number.</summary>
    public const int GroupSize = 256;

    private readonly Context context;
    private readonly Accelerator accelerator;
    private readonly AcceleratorStream stream;
    private readonly GpuMemoryPool pool;
    private readonly Dictionary<MethodInfo, Delegate> launchers = [];
    private readonly Lock gate = new();

    private GpuDevice(string name, Context context, Accelerator accelerator)
    {
        Name = name;
        this.context = context;
        this.accelerator = accelerator;
        stream = accelerator.CreateStream();
        pool = new GpuMemoryPool(this, accelerator);
    }

    /// <summary>A device whose memory is the processor's, for one that overrides <see cref="Start"/> with its own way to run kernels.</summary>
    protected GpuDevice(string name) : this(name, HostMemory()) { }

    private GpuDevice(string name, Context context) : this(name, context, context.GetCPUDevice(0).CreateAccelerator(context)) { }

    public override string Name { get; }

    public override MemoryPool Pool => pool;

    /// <summary>What is below this class, for checks of the driver and libraries that take its handles.</summary>
    public Accelerator Accelerator => accelerator;

    public AcceleratorStream Stream => stream;

    /// <summary>The kernels launched so far.</summary>
    public IReadOnlyCollection<MethodInfo> Kernels => launchers.Keys;

    /// <summary>The devices of a kind as their driver names them, or why there is none.</summary>
    public static string Describe(string kind)
    {
        GpuLibraries.Install();
        if (GpuLibraries.Missing(kind) is { } missing)
            return $"none: {missing}";
        try
        {
            using var context = Context.Create(builder => Configure(builder, kind, kind));
            string[] found = [.. context.Devices.Where(d => d.AcceleratorType == TypeOf(kind)).Select((d, i) => $"{kind}:{i} {d.Name}")];
            return found.Length == 0 ? "none: the driver offers no device" : string.Join(", ", found);
        }
        catch (Exception e)
        {
            return $"none: {e.GetBaseException().Message}";
        }
    }

    /// <exception cref="KernelException">No such device; says what was found or which library is missing.</exception>
    public static GpuDevice Open(string name)
    {
        GpuLibraries.Install();
        if (!DeviceName.TryParse(name, out var parsed))
            throw new KernelException($"device expects {DeviceName.Expected} but is {name}");
        var (kind, index) = parsed;
        if (GpuLibraries.Missing(kind) is { } missing)
            throw new KernelException($"device {name}: {missing}");
        Context? context = null;
        try
        {
            context = Context.Create(builder => Configure(builder, kind, name));
            var found = context.Devices.Where(d => d.AcceleratorType == TypeOf(kind)).ToArray();
            if (index >= found.Length)
                throw new KernelException(found.Length == 0
                    ? $"device {name}: the driver offers none; `cudakernels env` shows what there is"
                    : $"device {name}: there are only {found.Length}: {string.Join(", ", found.Select(d => d.Name))}");
            return new GpuDevice(name, context, found[index].CreateAccelerator(context));
        }
        catch (Exception e) when (e is not KernelException)
        {
            context?.Dispose();
            throw new KernelException($"device {name}: cannot be opened: {e.GetBaseException().Message}");
        }
        catch
        {
            context?.Dispose();
            throw;
        }
    }

    public override void Run<TKernel>(in TKernel kernel)
    {
        kernel.Validate();
        lock (gate)
        {
            if (Profiler is not { } profiler)
            {
                kernel.Run(this);
                return;
            }
            long start = Stopwatch.GetTimestamp();
            kernel.Run(this);
            stream.Synchronize();
            profiler.Add(typeof(TKernel).Name, Stopwatch.GetElapsedTime(start).TotalSeconds, kernel.Cost);
        }
    }

    /// <summary>Starts <paramref name="groups"/> groups of <paramref name="groupSize"/> threads; nothing for none.</summary>
    public void Launch<TArguments>(Action<TArguments> kernel, long groups, int groupSize, TArguments arguments) where TArguments : struct
    {
        if (groups <= 0)
            return;
        Start(kernel.Method, checked((int)groups), groupSize, arguments);
    }

    /// <summary>One thread for each of <paramref name="count"/> elements, in groups of <see cref="GroupSize"/>; the kernel checks the end.</summary>
    public void LaunchFor<TArguments>(Action<TArguments> kernel, long count, TArguments arguments) where TArguments : struct =>
        Launch(kernel, (count + GroupSize - 1) / GroupSize, GroupSize, arguments);

    /// <summary>Every launch comes through here; at least one group.</summary>
    protected virtual void Start<TArguments>(MethodInfo kernel, int groups, int groupSize, TArguments arguments) where TArguments : struct
    {
        if (!launchers.TryGetValue(kernel, out var launcher))
            launchers[kernel] = launcher = KernelLoader.Load<Action<AcceleratorStream, KernelConfig, TArguments>>(accelerator, kernel);
        ((Action<AcceleratorStream, KernelConfig, TArguments>)launcher)(stream, (groups, groupSize), arguments);
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
            events[0].Record(stream);
            for (int i = 1; i < events.Length; i++)
            {
                work();
                events[i].Record(stream);
            }
            events[^1].Wait();
            return [.. events.Skip(1).Select((end, i) => end.Milliseconds(events[i]))];
        }
        finally
        {
            foreach (var made in events)
                made?.Dispose();
        }
    }

    public ArrayView<float> F32(TensorView view) => View<float>(view, DType.F32);

    public ArrayView<int> I32(TensorView view) => View<int>(view, DType.I32);

    public ArrayView<byte> U8(TensorView view) => View<byte>(view, DType.U8);

    public override void Fill(TensorView view, float value)
    {
        if (value == 0)
        {
            if (view.Bytes > 0)
                Bytes(view).MemSetToZero(stream);
        }
        else
            LaunchFor(FillKernel, view.Length, new FillArguments(F32(view), value));
    }

    public override void Copy(TensorView from, TensorView to)
    {
        Check.Shape("Copy", "to", to, from.Shape, from.Type);
        if (from.Bytes > 0)
            Bytes(from).CopyTo(stream, Bytes(to));
    }

    public override void Upload<T>(ReadOnlySpan<T> from, TensorView to)
    {
        Check.That((long)from.Length * Unsafe.SizeOf<T>() == to.Bytes, "Upload", "source", $"{to.Bytes} bytes for {to}", (long)from.Length * Unsafe.SizeOf<T>());
        if (from.Length > 0)
            new ArrayView1D<T, Stride1D.Dense>(Bytes(to).Cast<T>(), from.Length, default).CopyFromCPU(stream, from);
        stream.Synchronize();
    }

    public override void Download<T>(TensorView from, Span<T> to)
    {
        Check.That((long)to.Length * Unsafe.SizeOf<T>() == from.Bytes, "Download", "target", $"{from.Bytes} bytes for {from}", (long)to.Length * Unsafe.SizeOf<T>());
        if (to.Length > 0)
            new ArrayView1D<T, Stride1D.Dense>(Bytes(from).Cast<T>(), to.Length, default).CopyToCPU(stream, to);
        stream.Synchronize();
    }

    public override void Synchronize() => stream.Synchronize();

    public override void Dispose()
    {
        stream.Synchronize();
        pool.Dispose();
        stream.Dispose();
        accelerator.Dispose();
        context.Dispose();
    }

    internal readonly record struct FillArguments(ArrayView<float> Y, float Value);

    private static void FillKernel(FillArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Y.Length)
            a.Y[i] = a.Value;
    }

    // Two threads are the fewest such an accelerator may have; it runs none of them.
    private static Context HostMemory() => Context.Create(builder => builder.CPU(new CPUDevice(2, 1, 1)));

    private static AcceleratorType TypeOf(string kind) => kind switch
    {
        "cuda" => AcceleratorType.Cuda,
        "opencl" => AcceleratorType.OpenCL,
        _ => AcceleratorType.CPU,
    };

    private static void Configure(Context.Builder builder, string kind, string name)
    {
        builder.Optimize(OptimizationLevel.O1);
        switch (kind)
        {
            case "cuda":
                builder.Cuda(device => device.InstructionSet = PtxPatch.InstructionSet);
                break;
            case "opencl":
                builder.OpenCL(device =>
                {
                    SetGenericAddressSpace(device.Capabilities, true);
                    return true;
                });
                break;
            case "ilgpu-cpu":
                builder.CPU(new CPUDevice(32, 8, 1));
                break;
            default:
                throw new KernelException($"device {name}: expects cuda:N, opencl:N or ilgpu-cpu");
        }
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_GenericAddressSpace")]
    private static extern void SetGenericAddressSpace(CLCapabilityContext capabilities, bool value);

    private ArrayView<byte> Bytes(TensorView view) => view.Buffer is GpuBuffer buffer && buffer.Device == this
        ? buffer.View.SubView(view.Offset * view.Type.Size(), view.Bytes)
        : throw new KernelException($"TensorView: {view} is used on {Name} but lives on {view.Buffer.Device.Name}");

    private ArrayView<T> View<T>(TensorView view, DType type) where T : unmanaged =>
        view.IsNone ? default
        : view.Type != type ? throw new KernelException($"TensorView: {view} was read as {type.Label()}")
        : Bytes(view).Cast<T>();
}
