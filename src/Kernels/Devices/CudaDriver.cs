using System.Runtime.InteropServices;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// The calls of the CUDA driver that ILGPU lacks. Each throws on any return code but success: the message has the call, the code and
/// the driver's own words. They act on the context that is current on the calling thread.
/// </summary>
internal static partial class CudaDriver
{
    private const string Library = "cuda"; // found by GpuLibraries
    private const int DisableTiming = 2;   // CU_EVENT_DISABLE_TIMING

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
            throw new KernelException($"{call}: the CUDA driver answers {Words(code)}");
    }

    /// <summary>"700 CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".</summary>
    private static string Words(int code) =>
        $"{code} {(cuGetErrorName(code, out nint name) == 0 ? Marshal.PtrToStringUTF8(name) : "")}: {(cuGetErrorString(code, out nint text) == 0 ? Marshal.PtrToStringUTF8(text) : "an unknown error")}";

    [LibraryImport(Library)]
    private static partial int cuGetErrorName(int code, out nint name);

    [LibraryImport(Library)]
    private static partial int cuGetErrorString(int code, out nint text);

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
