using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace CudaKernels.Kernels;

/// <summary>
/// Compiles a kernel method, patches the text the backend wrote, and loads it. The text has no public setter, so its fields are
/// reached by name. A failed compilation names kernel and device and repeats the compiler's words.
/// </summary>
internal static class KernelLoader
{
    private const int LogLines = 5;

    /// <summary>A launcher of the kernel for explicitly grouped launches; hold it strongly, the library's own cache does not.</summary>
    /// <param name="rewrite">A last change to PTX, for checks that compare variants of one text.</param>
    public static TLauncher Load<TLauncher>(Accelerator accelerator, MethodInfo kernel, Func<string, string>? rewrite = null) where TLauncher : Delegate
    {
        var architecture = (accelerator as CudaAccelerator)?.Architecture ?? default;
        string target = accelerator is CudaAccelerator ? $"{accelerator.Name} ({PtxPatch.NameOf(architecture)})" : accelerator.Name;
        CompiledKernel? compiled = null;
        try
        {
            compiled = Compile(accelerator.GetBackend(), kernel, architecture);
            if (rewrite is not null && compiled is PTXCompiledKernel ptx)
                PtxText(ptx) = rewrite(ptx.PTXAssembly);
            return accelerator.LoadKernel(compiled).CreateLauncherDelegate<TLauncher>();
        }
        catch (Exception e) when (e is not KernelException)
        {
            throw Failure(kernel, target, e, compiled is null ? null : DriverLog(accelerator, compiled));
        }
    }

    /// <summary>The kernel with its text patched; the architecture matters to PTX alone.</summary>
    public static CompiledKernel Compile(Backend backend, MethodInfo kernel, CudaArchitecture architecture)
    {
        var compiled = backend.Compile(EntryPointDescription.FromExplicitlyGroupedKernel(kernel), default);
        if (compiled is PTXCompiledKernel ptx)
            PtxText(ptx) = PtxPatch.Apply(ptx.PTXAssembly, architecture);
        if (compiled is CLCompiledKernel cl)
            OpenClText(cl) = OpenClPatch.Apply(cl.Source);
        return compiled;
    }

    /// <param name="log">What the compiler wrote beside its error; its first lines are kept.</param>
    public static KernelException Failure(MethodInfo kernel, string target, Exception reason, string? log = null)
    {
        string words = reason is AcceleratorException failed ? Words(failed) : reason.GetBaseException().Message;
        string[] lines = (log ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return new($"{NameOf(kernel)}: does not compile for {target}: {string.Join("; ", [words.ReplaceLineEndings(" "), .. lines.Take(LogLines)])}");
    }

    /// <summary>A driver's error by name and in the driver's words.</summary>
    public static string Words(AcceleratorException error) => error switch
    {
        CudaException { Error: not "N/A" } cuda => $"{cuda.Error}: {cuda.Message}",
        CLException cl => $"{cl.Error}: {cl.Message}",
        _ => error.Message,
    };

    /// <summary>Type, method and, for a generic one, its arguments, for messages and file names: "Pointwise.Kernel-AddForward.Formula".</summary>
    public static string NameOf(MethodInfo kernel) =>
        string.Join('-', kernel.GetGenericArguments().Select(NameOf).Prepend($"{NameOf(kernel.DeclaringType!)}.{kernel.Name}"));

    private static string NameOf(Type type)
    {
        string name = type.Name.Split('`')[0];
        if (type.IsNested)
            name = $"{NameOf(type.DeclaringType!)}.{name}";
        return type.IsConstructedGenericType ? string.Join('-', type.GetGenericArguments().Select(NameOf).Prepend(name)) : name;
    }

    /// <summary>The driver's own compiler says what it dislikes only when it is asked again.</summary>
    private static string? DriverLog(Accelerator accelerator, CompiledKernel compiled)
    {
        string? log = null;
        try
        {
            if (compiled is PTXCompiledKernel ptx)
                CudaAPI.CurrentAPI.LoadModule(out _, ptx.PTXAssembly, out log);
            if (compiled is CLCompiledKernel cl)
                CLKernel.LoadKernel((CLAccelerator)accelerator, cl.Name, cl.Source, cl.CVersion, out _, out _, out log);
        }
        catch (AcceleratorException)
        {
            // Its error is known; there is no log.
        }
        return log;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string PtxText(PTXCompiledKernel kernel);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<Source>k__BackingField")]
    private static extern ref string OpenClText(CLCompiledKernel kernel);
}
