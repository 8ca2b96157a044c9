using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels;

/// <summary>
/// Compiles a kernel method, patches the text the backend wrote, and loads it. The text has no public setter, so its fields are
/// reached by name. A failed compilation names kernel and device and repeats the compiler's words.
/// </summary>
internal static class KernelLoader
{
    /// <summary>A launcher of the kernel for explicitly grouped launches; hold it strongly, the library's own cache does not.</summary>
    /// <param name="rewrite">A last change to PTX, for checks that compare variants of one text.</param>
    public static TLauncher Load<TLauncher>(Accelerator accelerator, MethodInfo kernel, Func<string, string>? rewrite = null) where TLauncher : Delegate
    {
        try
        {
            var compiled = Compile(accelerator.GetBackend(), kernel, (accelerator as CudaAccelerator)?.Architecture ?? default);
            if (rewrite is not null && compiled is PTXCompiledKernel ptx)
                PtxText(ptx) = rewrite(ptx.PTXAssembly);
            return accelerator.LoadKernel(compiled).CreateLauncherDelegate<TLauncher>();
        }
        catch (Exception e) when (e is not KernelException)
        {
            throw Failure(kernel, accelerator.Name, e);
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

    public static KernelException Failure(MethodInfo kernel, string target, Exception reason) =>
        new($"{NameOf(kernel)}: does not compile for {target}: {reason.GetBaseException().Message}");

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

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string PtxText(PTXCompiledKernel kernel);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<Source>k__BackingField")]
    private static extern ref string OpenClText(CLCompiledKernel kernel);
}
