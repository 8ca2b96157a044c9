using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Comm;

/// <summary>
/// The ranks whose processes are on this machine: one that is killed is missed at once in the system's list of processes, long before its pulse is.
/// Where there is no such list (/proc) there are no neighbours.
/// </summary>
internal sealed class MpiNeighbours
{
    private readonly (int Rank, int Process)[] known;

    private MpiNeighbours((int, int)[] known) => this.known = known;

    public static MpiNeighbours Find(ICollective group, Device device)
    {
        int machine = StableHash(Environment.MachineName);
        int[] all = new int[2 * group.Size];
        TensorView mine = device.Rent(new Shape(2), DType.I32, "processes"), together = device.Rent(new Shape(all.Length), DType.I32, "processes");
        device.Upload<int>([machine, Environment.ProcessId], mine);
        group.AllGather(mine, together);
        device.Download<int>(together, all);
        device.Return(mine);
        device.Return(together);
        // A machine's name may be shared by containers that do not see each other's processes: only those seen now can be missed later.
        return new([.. Enumerable.Range(0, group.Size).Where(r => r != group.Rank && all[2 * r] == machine && IsAlive(all[2 * r + 1])).Select(r => (r, all[2 * r + 1]))]);
    }

    /// <summary>A rank whose process is gone.</summary>
    public (int Rank, int Process)? Missing(Func<int, bool> expected)
    {
        foreach (var (rank, process) in known)
            if (expected(rank) && !IsAlive(process))
                return (rank, process);
        return null;
    }

    private static bool IsAlive(int process)
    {
        try
        {
            string text = File.ReadAllText($"/proc/{process}/stat"); // number (name) state ...
            return text[(text.LastIndexOf(')') + 2)..] is not ['Z' or 'X', ..];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>FNV-1a, the same in every process.</summary>
    private static int StableHash(string text)
    {
        uint hash = 2166136261;
        foreach (char c in text)
            hash = (hash ^ c) * 16777619;
        return (int)hash;
    }
}
