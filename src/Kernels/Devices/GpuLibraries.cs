using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Finds the drivers under the names that machines without development packages have: libcuda.so.1 and libOpenCL.so.1, where the
/// compiler library and <see cref="CudaDriver"/> ask for "cuda" and "OpenCL". Installed once, before their first call.
/// </summary>
internal static class GpuLibraries
{
    private static readonly Dictionary<string, string> Names = new() { ["cuda"] = "libcuda.so.1", ["OpenCL"] = "libOpenCL.so.1" };
    private static readonly Lazy<bool> Installed = new(() =>
    {
        NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
        NativeLibrary.SetDllImportResolver(typeof(GpuLibraries).Assembly, Resolve);
        return true;
    });

    public static void Install() => _ = Installed.Value;

    /// <summary>Why the driver's library of "cuda" or "opencl" cannot be used, or null: an absent, empty or foreign file in the loader's words.</summary>
    public static string? Missing(string kind)
    {
        if (!OperatingSystem.IsLinux() || Names.FirstOrDefault(n => n.Key.Equals(kind, StringComparison.OrdinalIgnoreCase)).Value is not { } library)
            return null;
        try
        {
            NativeLibrary.Free(NativeLibrary.Load(library));
            return null;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            // The loader has a line for every place it tried; a file that is there but no good says more than one that is not.
            string[] tried = [.. e.Message.Split('\n').Select(line => line.Trim()).Where(line => line.Contains(library + ": ", StringComparison.Ordinal))];
            return tried.FirstOrDefault(line => !line.Contains("No such file", StringComparison.Ordinal)) ?? tried.LastOrDefault() ?? $"{library} cannot be loaded";
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        OperatingSystem.IsLinux() && Names.TryGetValue(name, out string? known) && NativeLibrary.TryLoad(known, out nint library) ? library : 0;
}
