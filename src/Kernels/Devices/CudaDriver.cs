using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// The calls of the CUDA driver that ILGPU lacks. Each throws on any return code but success: the message has the call, the code and
/// the driver's own words. They act on the context that is current on the calling thread.
/// </summary>
internal static partial class CudaDriver
{
    private const string Library = "cuda";    // found by GpuLibraries
    private const int OldestVersion = 12_000; // CUDA 12.0, the first to read our PTX
    private const int DisableTiming = 2;      // CU_EVENT_DISABLE_TIMING
    private const int Portable = 1;           // CU_MEMHOSTALLOC_PORTABLE

    /// <summary>The CUDA version that the driver was made for, as "13.0".</summary>
    public static string Version => cuDriverGetVersion(out int version) == 0 ? Text(version) : "of unknown version";

    /// <summary>Why nothing can be computed through the driver, or null. The library itself is there.</summary>
    public static string? Problem()
    {
        int code = cuInit(0);
        if (code != 0)
            return $"the CUDA driver does not start: {Words(code)}";
        if (cuDriverGetVersion(out int version) == 0 && version < OldestVersion)
            return $"the driver is made for CUDA {Text(version)}, at least {Text(OldestVersion)} is needed; install a newer driver";
        return cuDeviceGetCount(out int count) == 0 && count > 0 ? null : "the driver offers no device";
    }

    public static nint RetainPrimaryContext(int device)
    {
        Check(cuDevicePrimaryCtxRetain(out nint context, device), nameof(cuDevicePrimaryCtxRetain));
        return context;
    }

    public static void ReleasePrimaryContext(int device) => Check(cuDevicePrimaryCtxRelease(device), nameof(cuDevicePrimaryCtxRelease));

    /// <summary>A context of its own, current on this thread.</summary>
    public static nint CreateContext(int device)
    {
        Check(cuCtxCreate(out nint context, 0, device), nameof(cuCtxCreate));
        return context;
    }

    public static void DestroyContext(nint context) => Check(cuCtxDestroy(context), nameof(cuCtxDestroy));

    public static void SetCurrentContext(nint context) => Check(cuCtxSetCurrent(context), nameof(cuCtxSetCurrent));

    /// <summary>Page-locked host memory, in every context.</summary>
    public static nint AllocatePinned(nint bytes)
    {
        Check(cuMemHostAlloc(out nint memory, bytes, Portable), nameof(cuMemHostAlloc));
        return memory;
    }

    public static void FreePinned(nint memory) => Check(cuMemFreeHost(memory), nameof(cuMemFreeHost));

    public static nint CreateEvent(bool timing)
    {
        Check(cuEventCreate(out nint created, timing ? 0 : DisableTiming), nameof(cuEventCreate));
        return created;
    }

    public static void DestroyEvent(nint recorded) => Check(cuEventDestroy(recorded), nameof(cuEventDestroy));

    /// <summary>The event happens once all that the stream was given so far is done.</summary>
    public static void Record(nint recorded, nint stream) => Check(cuEventRecord(recorded, stream), nameof(cuEventRecord));

    /// <summary>What the stream is given from now on starts after the event.</summary>
    public static void Delay(nint stream, nint recorded) => Check(cuStreamWaitEvent(stream, recorded, 0), nameof(cuStreamWaitEvent));

    /// <summary>Returns once the event has happened.</summary>
    public static void Wait(nint recorded) => Check(cuEventSynchronize(recorded), nameof(cuEventSynchronize));

    /// <summary>Milliseconds between two events that have happened and were made for timing.</summary>
    public static float Elapsed(nint from, nint to)
    {
        Check(cuEventElapsedTime(out float milliseconds, from, to), nameof(cuEventElapsedTime));
        return milliseconds;
    }

    private static void Check(int code, string call)
    {
        if (code != 0)
            throw new CudaException($"{call} answers {Words(code)}");
    }

    /// <summary>"700 CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".</summary>
    private static string Words(int code) =>
        $"{code} {(cuGetErrorName(code, out nint name) == 0 ? Marshal.PtrToStringUTF8(name) : "")}: {(cuGetErrorString(code, out nint text) == 0 ? Marshal.PtrToStringUTF8(text) : "an unknown error")}";

    private static string Text(int version) => $"{version / 1000}.{version % 1000 / 10}";

    [LibraryImport(Library)]
    private static partial int cuInit(uint flags);

    [LibraryImport(Library)]
    private static partial int cuDriverGetVersion(out int version);

    [LibraryImport(Library)]
    private static partial int cuDeviceGetCount(out int count);

    [LibraryImport(Library)]
    private static partial int cuGetErrorName(int code, out nint name);

    [LibraryImport(Library)]
    private static partial int cuGetErrorString(int code, out nint text);

    [LibraryImport(Library)]
    private static partial int cuDevicePrimaryCtxRetain(out nint context, int device);

    [LibraryImport(Library, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
    private static partial int cuDevicePrimaryCtxRelease(int device);

    [LibraryImport(Library, EntryPoint = "cuCtxCreate_v2")]
    private static partial int cuCtxCreate(out nint context, uint flags, int device);

    [LibraryImport(Library, EntryPoint = "cuCtxDestroy_v2")]
    private static partial int cuCtxDestroy(nint context);

    [LibraryImport(Library)]
    private static partial int cuCtxSetCurrent(nint context);

    [LibraryImport(Library)]
    private static partial int cuMemHostAlloc(out nint memory, nint bytes, uint flags);

    [LibraryImport(Library)]
    private static partial int cuMemFreeHost(nint memory);

    [LibraryImport(Library)]
    private static partial int cuEventCreate(out nint created, int flags);

    [LibraryImport(Library, EntryPoint = "cuEventDestroy_v2")]
    private static partial int cuEventDestroy(nint recorded);

    [LibraryImport(Library)]
    private static partial int cuEventRecord(nint recorded, nint stream);

    [LibraryImport(Library)]
    private static partial int cuStreamWaitEvent(nint stream, nint recorded, uint flags);

    [LibraryImport(Library)]
    private static partial int cuEventSynchronize(nint recorded);

    [LibraryImport(Library)]
    private static partial int cuEventElapsedTime(out float milliseconds, nint from, nint to);
}
