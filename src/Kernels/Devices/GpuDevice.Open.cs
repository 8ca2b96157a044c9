using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace CudaKernels.Kernels.Devices;

/// <summary>How devices are found and opened, and what is said when they cannot be.</summary>
internal partial class GpuDevice
{
    /// <summary>The devices of a kind as their driver names them, or why there is none.</summary>
    public static string Describe(string kind)
    {
        try
        {
            using var context = CreateContext(kind);
            return string.Join(", ", Find(context, kind).Select((d, i) => $"{kind}:{i} {d.Name}"));
        }
        catch (KernelException e)
        {
            return $"none: {e.Message}";
        }
    }

    /// <summary>Opens a device and has it run a kernel, so that one which only looks usable is refused here.</summary>
    /// <exception cref="KernelException">No such device; says what was found or which library is missing.</exception>
    public static GpuDevice Open(string name)
    {
        if (!DeviceName.TryParse(name, out var parsed))
            throw new KernelException($"device expects {DeviceName.Expected} but is {name}");
        Context? context = null;
        GpuDevice? device = null;
        try
        {
            context = CreateContext(parsed.Kind);
            var found = Find(context, parsed.Kind);
            if (parsed.Index >= found.Length)
                throw new KernelException($"there {(found.Length == 1 ? "is only one" : $"are only {found.Length}")}: {string.Join(", ", found.Select(d => d.Name))}");
            var accelerator = found[parsed.Index].CreateAccelerator(context);
            if (accelerator is CudaAccelerator cuda)
                PrimaryContext.Enter(cuda);
            device = new GpuDevice(name, context, accelerator);
            device.CheckItself();
            return device;
        }
        catch (Exception e)
        {
            if (device is not null)
                device.Dispose();
            else
                context?.Dispose();
            throw new KernelException($"device {name}: {e.GetBaseException().Message.ReplaceLineEndings(" ")}");
        }
    }

    /// <summary>Values go there, a kernel changes some, values come back.</summary>
    private void CheckItself()
    {
        const int count = 1000, margin = 3;
        const float mark = 0.5f;
        float[] expected = [.. Enumerable.Range(0, count)], got = new float[count];
        var view = Rent(new Shape(count), DType.F32, nameof(CheckItself));
        Upload<float>(expected, view);
        Fill(view.Slice(margin, new Shape(count - 2 * margin)), mark);
        Download<float>(view, got);
        Return(view);
        expected.AsSpan(margin, count - 2 * margin).Fill(mark);
        for (int i = 0; i < count; i++)
            if (got[i] != expected[i])
                throw new KernelException($"its first kernel does not compute what it should: element {i} of {count} is {got[i]} in place of {expected[i]}");
    }

    /// <exception cref="KernelException">The kind is unknown or its driver cannot be used; says why.</exception>
    private static Context CreateContext(string kind)
    {
        GpuLibraries.Install();
        if ((GpuLibraries.Missing(kind) ?? (kind == "cuda" ? CudaDriver.Problem() : null)) is { } problem)
            throw new KernelException(problem);
        return Context.Create(builder => Configure(builder, kind));
    }

    private static ILGPU.Runtime.Device[] Find(Context context, string kind)
    {
        var type = kind switch
        {
            "cuda" => AcceleratorType.Cuda,
            "opencl" => AcceleratorType.OpenCL,
            _ => AcceleratorType.CPU,
        };
        ILGPU.Runtime.Device[] found = [.. context.Devices.Where(d => d.AcceleratorType == type)];
        return found.Length > 0 ? found : throw new KernelException("the driver offers no device");
    }

    private static void Configure(Context.Builder builder, string kind)
    {
        builder.Optimize(OptimizationLevel.O1);
        switch (kind)
        {
            case "cuda":
                builder.Cuda(device => device.InstructionSet = PtxPatch.InstructionSet);
                PtxInstructions.Register(builder, typeof(TensorCore));
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
                throw new KernelException($"expects cuda:N, opencl:N or ilgpu-cpu");
        }
    }

    // Two threads are the fewest such an accelerator may have; it runs none of them.
    private static Context HostMemory() => Context.Create(builder => builder.CPU(new CPUDevice(2, 1, 1)));

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_GenericAddressSpace")]
    private static extern void SetGenericAddressSpace(CLCapabilityContext capabilities, bool value);
}
