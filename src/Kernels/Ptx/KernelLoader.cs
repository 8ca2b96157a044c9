using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;

namespace CudaKernels.Kernels;

/// <summary>
/// Compiles a kernel method, patches the text the backend wrote, and loads it. The text has no public setter, so its fields are
/// reached by name. A failed compilation names kernel and device and repeats the compiler's words.
/// </summary>
internal static class KernelLoader
{
    /// <summary>A launcher of the kernel for explicitly grouped launches; hold it strongly, the library's own cache does not.</summary>
    public static TLauncher Load<TLauncher>(Accelerator accelerator, MethodInfo kernel) where TLauncher : Delegate
    {
        try
        {
            var compiled = accelerator.GetBackend().Compile(EntryPointDescription.FromExplicitlyGroupedKernel(kernel), default);
            if (compiled is PTXCompiledKernel ptx)
                PtxText(ptx) = PtxPatch.Apply(ptx.PTXAssembly);
            if (compiled is CLCompiledKernel cl)
                OpenClText(cl) = OpenClPatch.Apply(cl.Source);
            return accelerator.LoadKernel(compiled).CreateLauncherDelegate<TLauncher>();
        }
        catch (Exception e) when (e is not KernelException)
        {
            throw new KernelException($"{NameOf(kernel)}: does not compile for {accelerator.Name}: {e.GetBaseException().Message}");
        }
    }

    /// <summary>Operation and method, for messages and file names.</summary>
    public static string NameOf(MethodInfo kernel) => $"{kernel.DeclaringType?.Name}.{kernel.Name}";

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string PtxText(PTXCompiledKernel kernel);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<Source>k__BackingField")]
    private static extern ref string OpenClText(CLCompiledKernel kernel);
}
