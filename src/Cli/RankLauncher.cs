using System.Globalization;
using System.Runtime.InteropServices;
using CudaKernels.Comm;
using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>How ranks find each other.</summary>
internal enum RankTransport
{
    /// <summary>Threads of this process, a device each.</summary>
    InProcess,

    /// <summary>Processes that mpirun started, this one among them.</summary>
    Mpi,

    /// <summary>GPUs by NCCL: of processes that mpirun or another launcher started, else of threads of this process.</summary>
    Nccl,
}

/// <summary>Runs the same work on all ranks: on threads of this process, or as one of several processes.</summary>
/// <param name="transport">The value of --comm.</param>
/// <param name="ranks">The value of --ranks; null means as many as devices are named or processes were started.</param>
/// <param name="devices">The value of --device.</param>
/// <param name="threads">The value of --threads: of all ranks of a machine together.</param>
/// <param name="precision">The value of --precision.</param>
/// <param name="note">Told what a user may want to know.</param>
internal sealed class RankLauncher(RankTransport transport, int? ranks, string devices, int threads, string precision, Action<string> note)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <param name="work">Gives the exit code.</param>
    /// <returns>That of the first rank, or of this process's own.</returns>
    public int Run(Func<RankGroup, int> work)
    {
        if (ranks is < 1)
            throw new UsageException($"--ranks expects at least 1 but is {ranks}");
        if (transport == RankTransport.Mpi || (transport == RankTransport.Nccl && Variable("OMPI_COMM_WORLD_SIZE") is not null))
            return AsProcess(work);
        if (transport == RankTransport.Nccl && Number("WORLD_SIZE") is { } size)
            return AsLaunched(size, work);
        return OnThreads(ranks ?? RankDevices.Count(devices), work);
    }

    private int OnThreads(int count, Func<RankGroup, int> work)
    {
        Device[] opened = [.. Enumerable.Range(0, count).Select(rank => Open(rank, count, isFirst: rank == 0))];
        int code = CommandLine.Failed;
        if (count == 1)
            code = Work(new SingleRank(opened[0]), opened[0], work);
        else
            InProcessRanks.Run(opened, group =>
            {
                int own = Work(group, opened[group.Rank], work);
                if (group.Rank == 0)
                    code = own;
            });
        // Not after a failure: a thread that hangs is left behind, and may still use its device.
        foreach (var device in opened)
            device.Dispose();
        return code;
    }

    private int AsProcess(Func<RankGroup, int> work)
    {
        using var world = MpiWorld.Open();
        RequireRanks(world.Size, "mpirun");
        using var device = Open(Number("OMPI_COMM_WORLD_LOCAL_RANK") ?? 0, Number("OMPI_COMM_WORLD_LOCAL_SIZE") ?? world.Size, world.Rank == 0);
        int said = 0;
        world.Heard = failure =>
        {
            if (IsWitness(failure) && Interlocked.Exchange(ref said, 1) == 0)
                CommandLine.Say(failure.Message, CommandLine.Failed);
        };
        using var group = world.Join(device);
        try
        {
            return Work(group, device, work);
        }
        catch (Exception e)
        {
            group.Fail(e);
            if (e is CollectiveException other && other.Rank != world.Rank && !(IsWitness(other) && Interlocked.Exchange(ref said, 1) == 0))
                return CommandLine.Failed;
            throw;
        }

        // One is enough: the first rank that is not itself at fault.
        bool IsWitness(CollectiveException failure) => world.Rank == (failure.Rank == 0 ? 1 : 0);
    }

    /// <summary>As one of the processes that a launcher started which tells them RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.</summary>
    private int AsLaunched(int size, Func<RankGroup, int> work)
    {
        RequireRanks(size, "the launcher");
        if (Number("RANK") is not { } rank || Variable("MASTER_ADDR") is not { } address || Number("MASTER_PORT") is not { } port)
            throw new UsageException("WORLD_SIZE is set but not all of RANK, MASTER_ADDR and MASTER_PORT; --comm nccl needs the four of them, or mpirun, or none");
        using var device = Open(Number("LOCAL_RANK") ?? rank, Number("LOCAL_WORLD_SIZE") ?? size, rank == 0);
        using var nccl = NcclNative.Load();
        var gpu = Gpu(device, rank);
        byte[] id = TcpRendezvous.Exchange(new(rank, size, address, port), rank == 0 ? Bytes(nccl.NewId()) : [], Patience);
        using var group = NcclCollective.Join(nccl, gpu, MemoryMarshal.Read<NcclId>(id), rank, size, control: null);
        return work(new RankGroup(group, device));
    }

    private int Work(ICollective group, Device device, Func<RankGroup, int> work)
    {
        if (transport != RankTransport.Nccl)
            return work(new RankGroup(group, device));
        var gpu = Gpu(device, group.Rank);
        using var nccl = NcclNative.Load();
        byte[] id = new RankGroup(group, device).Gather(group.Rank == 0 ? Bytes(nccl.NewId()) : [])[0];
        using var gpus = NcclCollective.Join(nccl, gpu, MemoryMarshal.Read<NcclId>(id), group.Rank, group.Size, control: group.Split(0));
        return work(new RankGroup(gpus, device));
    }

    /// <param name="local">Among the ranks of this machine.</param>
    private Device Open(int local, int locals, bool isFirst)
    {
        var (name, team) = RankDevices.Of(devices, local, locals, threads);
        return SharedOptions.OpenDevice(name, team, isFirst ? note : null, precision);
    }

    private void RequireRanks(int size, string starter)
    {
        if (ranks is { } expected && expected != size)
            throw new UsageException($"--ranks is {expected} but {starter} started {size} processes; leave --ranks out");
    }

    private static GpuDevice Gpu(Device device, int rank) => device is GpuDevice { Accelerator: ILGPU.Runtime.Cuda.CudaAccelerator } gpu ? gpu
        : throw new UsageException($"--comm nccl needs CUDA devices but rank {rank} computes on {device.Name}");

    private static byte[] Bytes(NcclId id) => MemoryMarshal.AsBytes(new ReadOnlySpan<NcclId>(in id)).ToArray();

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name);

    private static int? Number(string name) => int.TryParse(Variable(name), CultureInfo.InvariantCulture, out int number) ? number : null;
}
