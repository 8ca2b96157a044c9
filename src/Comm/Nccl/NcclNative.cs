using System.Runtime.InteropServices;
using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>What names a group of ranks to each other: made by one, given to all. Passed by value, as the library's C interface has it.</summary>
[StructLayout(LayoutKind.Sequential, Size = 128)]
internal struct NcclId;

/// <summary>
/// NVIDIA's collectives, libnccl, found at run time. It works in the primary context of the device and on a stream of CUDA; all
/// pointers are device addresses. Every failure is an exception with the library's own words.
/// </summary>
internal sealed unsafe class NcclNative : IDisposable
{
    private const int UInt8 = 1, Float32 = 7, Sum = 0, Max = 2; // ncclDataType_t, ncclRedOp_t

    private static readonly string[] Names = ["libnccl.so.2", "libnccl.so"];

    private readonly nint library;
    private readonly delegate* unmanaged<int, byte*> errorString;

    private NcclNative(nint library)
    {
        this.library = library;
        errorString = (delegate* unmanaged<int, byte*>)Export("ncclGetErrorString");
    }

    /// <summary>Such as 22705 for 2.27.5.</summary>
    public int Version
    {
        get
        {
            int version;
            Succeed("ncclGetVersion", ((delegate* unmanaged<int*, int>)Export("ncclGetVersion"))(&version));
            return version;
        }
    }

    /// <exception cref="KernelException">The library is absent, empty or of another machine; gives the loader's words.</exception>
    public static NcclNative Load(params ReadOnlySpan<string> names)
    {
        string reason = "";
        foreach (string name in names.IsEmpty ? Names : names)
            try
            {
                return new(NativeLibrary.Load(name));
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                if (reason.Length == 0)
                    reason = e.Message.ReplaceLineEndings(" ").Split(". ")[0];
            }
        throw new KernelException($"NCCL: {reason}");
    }

    public NcclId NewId()
    {
        NcclId id;
        Succeed("ncclGetUniqueId", ((delegate* unmanaged<NcclId*, int>)Export("ncclGetUniqueId"))(&id));
        return id;
    }

    /// <summary>Joins the group; the device is the thread's current one. Returns once all ranks have joined.</summary>
    public nint Join(int ranks, NcclId id, int rank)
    {
        nint group;
        Succeed("ncclCommInitRank", ((delegate* unmanaged<nint*, int, NcclId, int, int>)Export("ncclCommInitRank"))(&group, ranks, id, rank));
        return group;
    }

    /// <summary>Replaces <paramref name="count"/> floats by their reduction over all ranks, in the order of the stream.</summary>
    public void AllReduce(nint floats, long count, Reduction reduction, nint group, nint stream) => Succeed("ncclAllReduce",
        ((delegate* unmanaged<nint, nint, nuint, int, int, nint, nint, int>)Export("ncclAllReduce"))(floats, floats, (nuint)count, Float32, Number(reduction), group, stream));

    /// <summary>Replaces the floats of one rank.</summary>
    public void Reduce(nint floats, long count, Reduction reduction, int root, nint group, nint stream) => Succeed("ncclReduce",
        ((delegate* unmanaged<nint, nint, nuint, int, int, int, nint, nint, int>)Export("ncclReduce"))(floats, floats, (nuint)count, Float32, Number(reduction), root, group, stream));

    public void Broadcast(nint values, long bytes, int root, nint group, nint stream) => Succeed("ncclBroadcast",
        ((delegate* unmanaged<nint, nint, nuint, int, int, nint, nint, int>)Export("ncclBroadcast"))(values, values, (nuint)bytes, UInt8, root, group, stream));

    public void AllGather(nint part, nint all, long bytes, nint group, nint stream) => Succeed("ncclAllGather",
        ((delegate* unmanaged<nint, nint, nuint, int, nint, nint, int>)Export("ncclAllGather"))(part, all, (nuint)bytes, UInt8, group, stream));

    /// <summary>Waits for what the group has under way.</summary>
    public void Leave(nint group) => Succeed("ncclCommDestroy", ((delegate* unmanaged<nint, int>)Export("ncclCommDestroy"))(group));

    /// <summary>Ends what the group has under way, on the device and in calls of other threads, and the group itself.</summary>
    public void Abort(nint group) => Succeed("ncclCommAbort", ((delegate* unmanaged<nint, int>)Export("ncclCommAbort"))(group));

    public void Dispose() => NativeLibrary.Free(library);

    private static int Number(Reduction reduction) => reduction == Reduction.Sum ? Sum : Max;

    private nint Export(string name) => NativeLibrary.TryGetExport(library, name, out nint address) ? address
        : throw new KernelException($"NCCL: the library has no {name}");

    private void Succeed(string function, int result)
    {
        if (result != 0)
            throw new KernelException($"NCCL: {function} failed: {Marshal.PtrToStringUTF8((nint)errorString(result))} ({result})");
    }
}
