using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>
/// Which device each rank of a machine computes on, after --device: a list names one for each; "cuda" and "opencl" alone give them the devices of
/// that kind by number; the processor's threads are divided among them.
/// </summary>
internal static class RankDevices
{
    /// <param name="names">The value of --device.</param>
    /// <param name="rank">Among the ranks of this machine.</param>
    /// <param name="ranks">How many those are.</param>
    /// <param name="threads">Of all of them together; 0 means all cores.</param>
    public static (string Name, int Threads) Of(string names, int rank, int ranks, int threads)
    {
        if (ranks == 1)
            return (names, threads);
        string[] named = names.Split(',');
        int share = Math.Max(1, Share.Of(SharedOptions.CheckThreads(threads) is 0 ? Environment.ProcessorCount : threads, ranks, rank).Count);
        if (named.Length > 1)
            return named.Length == ranks ? (named[rank], share)
                : throw new UsageException($"--device names {named.Length} devices for {ranks} ranks of this machine; name one for each");
        if (names == "auto")
            names = GpuLibraries.Missing("cuda") is null ? "cuda" : "cpu";
        if (names.Contains(':'))
            throw new UsageException($"--device expects a device for each of {ranks} ranks, such as cuda:0,cuda:1, but is {names}");
        return (names is "cuda" or "opencl" ? $"{names}:{rank}" : names, share);
    }

    /// <summary>As many ranks as devices are named.</summary>
    public static int Count(string names) => names.Split(',').Length;
}
