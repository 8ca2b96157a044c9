using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Finds the drivers under the names that machines without development packages have: libcuda.so.1 and libOpenCL.so.1, where the
/// compiler library asks for "cuda" and "OpenCL". Installed once, before its first call.
/// </summary>
internal static class GpuLibraries
{
    private static readonly Dictionary<string, string> Names = new() { ["cuda"] = "libcuda.so.1", ["OpenCL"] = "libOpenCL.so.1" };
    private static readonly Lazy<bool> Installed = new(() =>
    {
        NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
        return true;
    });

    public static void Install() => _ = Installed.Value;

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        OperatingSystem.IsLinux() && Names.TryGetValue(name, out string? known) && NativeLibrary.TryLoad(known, out nint library) ? library : 0;
}
