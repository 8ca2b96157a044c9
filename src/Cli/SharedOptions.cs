using System.CommandLine;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Options that several verbs share, each with one meaning.</summary>
internal static class SharedOptions
{
    public static Option<int> Threads() => new("--threads")
    {
        Description = "Threads that compute; 0 means all cores. Results do not depend on it.",
        HelpName = "N",
        DefaultValueFactory = _ => 0,
    };

    public static Option<string> Device() => new("--device")
    {
        Description = "Where to compute: auto or cpu.",
        DefaultValueFactory = _ => "auto",
    };

    public static Option<string?> Json() => new("--json") { Description = "Write the result as JSON to this file; - is standard output.", HelpName = "FILE" };

    public static Option<ulong> Seed() => new("--seed") { Description = "Seed of all random numbers.", DefaultValueFactory = _ => 1 };

    public static Device OpenDevice(string name, int threads)
    {
        CheckDevice(name);
        return new CpuDevice(CheckThreads(threads));
    }

    public static string CheckDevice(string name) => name is "auto" or "cpu" ? name
        : throw new UsageException($"--device expects auto or cpu but is {name}");

    public static int CheckThreads(int threads) => threads >= 0 ? threads
        : throw new UsageException($"--threads expects 0 or more but is {threads}");
}
