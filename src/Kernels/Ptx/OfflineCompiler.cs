using System.Reflection;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels;

/// <summary>
/// Compiles kernels to the PTX text that a device of one architecture would be given, without a device. A kernel that does not
/// compile leaves its context unusable, so the next one gets a fresh one.
/// </summary>
internal sealed class OfflineCompiler : IDisposable
{
    private readonly CudaArchitecture architecture;
    private Context? context;
    private PTXBackend? backend;

    /// <param name="architecture">One of <see cref="Architectures"/>.</param>
    /// <exception cref="KernelException">Not an architecture this library writes code for.</exception>
    public OfflineCompiler(string architecture)
    {
        Architecture = architecture;
        this.architecture = PtxPatch.Architectures.FirstOrDefault(a => PtxPatch.NameOf(a) == architecture);
        if (this.architecture == default)
            throw new KernelException($"OfflineCompiler: architecture expects {string.Join(" or ", Architectures)} but is {architecture}");
    }

    /// <summary>What it can write for.</summary>
    public static IReadOnlyList<string> Architectures { get; } = [.. PtxPatch.Architectures.Select(PtxPatch.NameOf)];

    public string Architecture { get; }

    /// <exception cref="KernelException">The kernel does not compile; gives its name, the architecture and the compiler's words.</exception>
    public string Compile(MethodInfo kernel)
    {
        if (backend is null)
        {
            context = Context.Create(builder =>
            {
                builder.CPU(CPUDevice.Default).Optimize(OptimizationLevel.O1);
                PtxInstructions.Register(builder, typeof(TensorCore));
            });
            backend = new PTXBackend(context, new CudaCapabilityContext(architecture), architecture, PtxPatch.InstructionSet, nvvmAPI: null);
        }
        try
        {
            return ((PTXCompiledKernel)KernelLoader.Compile(backend, kernel, architecture)).PTXAssembly;
        }
        catch (Exception e) when (e is not KernelException)
        {
            Dispose();
            throw KernelLoader.Failure(kernel, Architecture, e);
        }
    }

    public void Dispose()
    {
        backend?.Dispose();
        context?.Dispose();
        (backend, context) = (null, null);
    }
}
