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
    private static readonly (string Kind, string Import, string File, string FirstCall)[] Known =
    [
        ("cuda", "cuda", OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", "cuInit"),
        ("opencl", "OpenCL", OperatingSystem.IsWindows() ? "OpenCL.dll" : "libOpenCL.so.1", "clGetPlatformIDs"),
    ];

    private static readonly Lazy<bool> Installed = new(() =>
    {
        NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
        NativeLibrary.SetDllImportResolver(typeof(GpuLibraries).Assembly, Resolve);
        return true;
    });

    public static void Install() => _ = Installed.Value;

    /// <summary>Why the driver's library of "cuda" or "opencl" cannot be used, or null; of another kind there is none to miss.</summary>
    public static string? Missing(string kind)
    {
        if (Known.FirstOrDefault(k => k.Kind == kind) is not { File: { } file, FirstCall: var call })
            return null;
        if (Problem(file) is { } problem)
            return problem;
        nint library = NativeLibrary.Load(file);
        bool found = NativeLibrary.TryGetExport(library, call, out _);
        NativeLibrary.Free(library);
        return found ? null : $"{file}: it has no {call}, so it is not the driver's library";
    }

    /// <summary>Why a library cannot be loaded, in the loader's words, or null: an absent, empty or foreign file.</summary>
    public static string? Problem(string file)
    {
        try
        {
            NativeLibrary.Free(NativeLibrary.Load(file));
            return null;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            // The loader has a line for every place it tried; a file that is there but no good says more than one that is not.
            string[] tried = [.. e.Message.Split('\n').Select(line => line.Trim()).Where(line => line.Contains(file + ": ", StringComparison.Ordinal))];
            return tried.FirstOrDefault(line => !line.Contains("No such file", StringComparison.Ordinal)) ?? tried.LastOrDefault() ?? $"{file} cannot be loaded";
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        Known.FirstOrDefault(k => k.Import == name).File is { } file && NativeLibrary.TryLoad(file, out nint library) ? library : 0;
}
