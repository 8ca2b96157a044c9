using System.CommandLine;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Options that several verbs share, each with one meaning.</summary>
internal static class SharedOptions
{
    private const int MostThreads = 1024;

    public static Option<int> Threads() => new("--threads")
    {
        Description = "Threads that compute; 0 means all cores. Results do not depend on it.",
        HelpName = "N",
        DefaultValueFactory = _ => 0,
    };

    public static Option<string> Device() => new("--device")
    {
        Description = "Where to compute: auto (CUDA where it works, else the processor), cpu, cuda:N, opencl:N or ilgpu-cpu.",
        DefaultValueFactory = _ => "auto",
    };

    public static Option<string?> Json() => new("--json") { Description = "Write the result as JSON to this file; - is standard output.", HelpName = "FILE" };

    public static Option<ulong> Seed() => new("--seed") { Description = "Seed of all random numbers.", DefaultValueFactory = _ => 1 };

    /// <param name="note">Told in one sentence what "auto" has chosen.</param>
    /// <exception cref="UsageException">Not the name of a device.</exception>
    /// <exception cref="Kernels.KernelException">This machine has no such device.</exception>
    public static Device OpenDevice(string name, int threads, Action<string>? note = null) => DeviceOpener(name, threads, note)();

    /// <summary>Checks the words now; the device is opened when it is needed.</summary>
    public static Func<Device> DeviceOpener(string name, int threads, Action<string>? note)
    {
        var (device, team) = (CheckDevice(name), CheckThreads(threads));
        return () => device.Open(team, note);
    }

    public static DeviceName CheckDevice(string name) => DeviceName.TryParse(name, out var device) ? device
        : throw new UsageException($"--device expects {DeviceName.Expected} but is {name}");

    public static int CheckThreads(int threads) => threads is >= 0 and <= MostThreads ? threads
        : throw new UsageException($"--threads expects 0 to {MostThreads} but is {threads}");
}
