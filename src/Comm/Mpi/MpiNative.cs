using System.Runtime.InteropServices;
using System.Text;
using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>
/// Open MPI 4, found at run time. Its handles are addresses of data the library exports; other MPIs have other handles and constants, so they are
/// refused by name. Every failure is an exception with the library's own words. Calls that wait for other processes only start here and are
/// finished by <see cref="IsDone"/>, so that whoever waits can be told of a failure.
/// </summary>
internal sealed unsafe class MpiNative
{
    private const int ThreadMultiple = 3, TextBytes = 256; // MPI_THREAD_MULTIPLE, MPI_MAX_LIBRARY_VERSION_STRING and MPI_MAX_ERROR_STRING

    private static readonly string[] Names = ["libmpi.so.40", "libmpi.so.12", "libmpi.so"];

    private readonly nint library;
    private readonly string name;
    private readonly nint bytes, floats;
    private readonly delegate* unmanaged<nint*, int*, nint, int> test;
    private readonly delegate* unmanaged<void*, int, nint, void*, int, nint, nint, nint*, int> allGather;
    private readonly delegate* unmanaged<void*, int, nint, void*, int*, int*, nint, nint, nint*, int> allGatherUneven;
    private readonly delegate* unmanaged<void*, int*, int*, nint, void*, int*, int*, nint, nint, nint*, int> allToAll;
    private readonly delegate* unmanaged<void*, int, nint, void*, int*, int*, nint, int, nint, nint*, int> gather;
    private readonly delegate* unmanaged<void*, int, nint, int, nint, nint*, int> broadcast;
    private readonly delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int> send, receive;

    private MpiNative(nint library, string name)
    {
        this.library = library;
        this.name = name;
        Version = VersionOf(library, name);
        if (!Version.StartsWith("Open MPI v4.", StringComparison.Ordinal))
            throw new KernelException($"MPI: {name} is {Version} but Open MPI 4 is needed (Debian: openmpi-bin, libopenmpi3)");
        World = Export("ompi_mpi_comm_world");
        (bytes, floats) = (Export("ompi_mpi_byte"), Export("ompi_mpi_float"));
        test = (delegate* unmanaged<nint*, int*, nint, int>)Export("MPI_Test");
        allGather = (delegate* unmanaged<void*, int, nint, void*, int, nint, nint, nint*, int>)Export("MPI_Iallgather");
        allGatherUneven = (delegate* unmanaged<void*, int, nint, void*, int*, int*, nint, nint, nint*, int>)Export("MPI_Iallgatherv");
        allToAll = (delegate* unmanaged<void*, int*, int*, nint, void*, int*, int*, nint, nint, nint*, int>)Export("MPI_Ialltoallv");
        gather = (delegate* unmanaged<void*, int, nint, void*, int*, int*, nint, int, nint, nint*, int>)Export("MPI_Igatherv");
        broadcast = (delegate* unmanaged<void*, int, nint, int, nint, nint*, int>)Export("MPI_Ibcast");
        send = (delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int>)Export("MPI_Isend");
        receive = (delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int>)Export("MPI_Irecv");
    }

    /// <summary>The library's name for itself, such as "Open MPI v4.1.4".</summary>
    public string Version { get; }

    /// <summary>The group of all processes.</summary>
    public nint World { get; }

    /// <exception cref="KernelException">The library is absent, empty, of another machine or another MPI.</exception>
    public static MpiNative Load(params ReadOnlySpan<string> names)
    {
        string reason = "";
        foreach (string name in names.IsEmpty ? Names : names)
            try
            {
                return new(NativeLibrary.Load(name), name);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                if (reason.Length == 0)
                    reason = e.Message.ReplaceLineEndings(" ").Split(". ")[0];
            }
        throw new KernelException($"MPI: {reason}");
    }

    /// <summary>Starts MPI for a process whose threads all use it; once in a process.</summary>
    public void Initialize()
    {
        int flag, provided;
        Succeed("MPI_Initialized", ((delegate* unmanaged<int*, int>)Export("MPI_Initialized"))(&flag));
        if (flag != 0)
            throw new KernelException("MPI: it has been started in this process before, and it starts once");
        Succeed("MPI_Init_thread", ((delegate* unmanaged<int*, byte***, int, int*, int>)Export("MPI_Init_thread"))(null, null, ThreadMultiple, &provided));
        if (provided < ThreadMultiple)
            throw new KernelException($"MPI: {name} was built without MPI_THREAD_MULTIPLE, which the reduction of gradients beside the backward pass needs");
        ReturnErrors(World);
    }

    public void Finish() => Succeed("MPI_Finalize", ((delegate* unmanaged<int>)Export("MPI_Finalize"))());

    public int Rank(nint group) => Ask("MPI_Comm_rank", group);

    public int Size(nint group) => Ask("MPI_Comm_size", group);

    /// <summary>The same processes once more, with messages of their own. All call it; it waits for all.</summary>
    public nint Duplicate(nint group)
    {
        nint made;
        Succeed("MPI_Comm_dup", ((delegate* unmanaged<nint, nint*, int>)Export("MPI_Comm_dup"))(group, &made));
        return ReturnErrors(made);
    }

    /// <summary>A group for each number, its members in the order of their ranks. All call it; it waits for all.</summary>
    public nint Split(nint group, int number)
    {
        nint made;
        Succeed("MPI_Comm_split", ((delegate* unmanaged<nint, int, int, nint*, int>)Export("MPI_Comm_split"))(group, number, 0, &made));
        return ReturnErrors(made);
    }

    public void Free(nint group) => Succeed("MPI_Comm_free", ((delegate* unmanaged<nint*, int>)Export("MPI_Comm_free"))(&group));

    /// <summary>Whether what was started is done; from then on its memory may be used. It also makes everything else under way go on.</summary>
    public bool IsDone(ref nint request)
    {
        int done;
        fixed (nint* asked = &request)
            Succeed("MPI_Test", test(asked, &done, 0));
        return done != 0;
    }

    public void AllGather(void* part, int count, void* all, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Iallgather", allGather(part, count, bytes, all, count, bytes, group, made));
    }

    /// <summary>Parts of floats of each rank's own length, at places of their own.</summary>
    public void AllGather(float* part, int count, float* all, int* counts, int* places, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Iallgatherv", allGatherUneven(part, count, floats, all, counts, places, floats, group, made));
    }

    public void AllToAll(float* from, int* counts, int* places, float* to, int* toCounts, int* toPlaces, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Ialltoallv", allToAll(from, counts, places, floats, to, toCounts, toPlaces, floats, group, made));
    }

    public void Gather(float* part, int count, float* all, int* counts, int* places, int root, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Igatherv", gather(part, count, floats, all, counts, places, floats, root, group, made));
    }

    public void Broadcast(void* values, int count, int root, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Ibcast", broadcast(values, count, bytes, root, group, made));
    }

    public void Send(void* values, int count, int to, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Isend", send(values, count, bytes, to, 0, group, made));
    }

    public void Receive(void* values, int count, int from, nint group, out nint request)
    {
        fixed (nint* made = &request)
            Succeed("MPI_Irecv", receive(values, count, bytes, from, 0, group, made));
    }

    private static string VersionOf(nint library, string name)
    {
        if (!NativeLibrary.TryGetExport(library, "MPI_Get_library_version", out nint version))
            throw new KernelException($"MPI: {name} has no MPI_Get_library_version, so it is no MPI");
        byte* text = stackalloc byte[8192]; // the longest of any MPI; the call has no way to be told of a shorter one
        int length;
        _ = ((delegate* unmanaged<byte*, int*, int>)version)(text, &length);
        return Encoding.UTF8.GetString(text, length).TrimEnd('\0', '\n', ' ').ReplaceLineEndings(" ").Split(',')[0];
    }

    private nint ReturnErrors(nint group)
    {
        Succeed("MPI_Comm_set_errhandler", ((delegate* unmanaged<nint, nint, int>)Export("MPI_Comm_set_errhandler"))(group, Export("ompi_mpi_errors_return")));
        return group;
    }

    private int Ask(string function, nint group)
    {
        int answer;
        Succeed(function, ((delegate* unmanaged<nint, int*, int>)Export(function))(group, &answer));
        return answer;
    }

    private nint Export(string function) => NativeLibrary.TryGetExport(library, function, out nint address) ? address
        : throw new KernelException($"MPI: {name} has no {function}");

    private void Succeed(string function, int result)
    {
        if (result == 0)
            return;
        byte* text = stackalloc byte[TextBytes];
        int length = 0;
        _ = ((delegate* unmanaged<int, byte*, int*, int>)Export("MPI_Error_string"))(result, text, &length);
        throw new KernelException($"MPI: {function} failed: {Encoding.UTF8.GetString(text, length)} ({result})");
    }
}
