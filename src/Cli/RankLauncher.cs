using System.Globalization;
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
    /// <param name="work">Gives the exit code.</param>
    /// <returns>That of the first rank, or of this process's own.</returns>
    public int Run(Func<RankGroup, int> work)
    {
        if (ranks is < 1)
            throw new UsageException($"--ranks expects at least 1 but is {ranks}");
        return transport == RankTransport.Mpi ? AsProcess(work) : OnThreads(ranks ?? RankDevices.Count(devices), work);
    }

    private int OnThreads(int count, Func<RankGroup, int> work)
    {
        Device[] opened = [.. Enumerable.Range(0, count).Select(rank => Open(rank, count, isFirst: rank == 0))];
        int code = CommandLine.Failed;
        if (count == 1)
            code = work(RankGroup.Alone(opened[0]));
        else
            InProcessRanks.Run(opened, group =>
            {
                int own = work(new RankGroup(group, opened[group.Rank]));
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
        if (ranks is { } expected && expected != world.Size)
            throw new UsageException($"--ranks is {expected} but mpirun started {world.Size} processes; leave it out with --comm mpi");
        using var device = Open(Local("RANK", 0), Local("SIZE", world.Size), isFirst: world.Rank == 0);
        using var group = world.Join(device);
        try
        {
            return work(new RankGroup(group, device));
        }
        catch (Exception e)
        {
            group.Fail(e);
            // One witness is enough: the first rank that is not itself at fault.
            if (e is CollectiveException other && group.Rank != other.Rank && group.Rank != (other.Rank == 0 ? 1 : 0))
                return CommandLine.Failed;
            throw;
        }

        // Among the processes on this machine, as mpirun tells each of them.
        static int Local(string what, int otherwise) =>
            int.TryParse(Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_LOCAL_" + what), CultureInfo.InvariantCulture, out int number) ? number : otherwise;
    }

    /// <param name="local">Among the ranks of this machine.</param>
    private Device Open(int local, int locals, bool isFirst)
    {
        var (name, team) = RankDevices.Of(devices, local, locals, threads);
        return SharedOptions.OpenDevice(name, team, isFirst ? note : null, precision);
    }
}
