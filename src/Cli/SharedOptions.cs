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

    public static Option<string> Precision() => new("--precision")
    {
        Description = "What convolutions and matrix products multiply: fp32, or on CUDA tensor cores tf32 or bf16. Sums and all else are float32.",
        DefaultValueFactory = _ => "fp32",
    };

    public static Option<string?> Json() => new("--json") { Description = "Write the result as JSON to this file; - is standard output.", HelpName = "FILE" };

    public static Option<ulong> Seed() => new("--seed") { Description = "Seed of all random numbers.", DefaultValueFactory = _ => 1 };

    /// <param name="note">Told in one sentence what "auto" has chosen.</param>
    /// <exception cref="UsageException">Not the name of a device, or of a precision.</exception>
    /// <exception cref="Kernels.KernelException">This machine has no such device, or the device no tensor cores for the precision.</exception>
    public static Device OpenDevice(string name, int threads, Action<string>? note = null, string precision = "fp32") => DeviceOpener(name, threads, note, precision)();

    /// <summary>Checks the words now; the device is opened when it is needed.</summary>
    public static Func<Device> DeviceOpener(string name, int threads, Action<string>? note, string precision = "fp32")
    {
        var (device, team, type) = (CheckDevice(name), CheckThreads(threads), CheckPrecision(precision));
        return () =>
        {
            var opened = device.Open(team, note);
            try
            {
                opened.Use(type);
                return opened;
            }
            catch
            {
                opened.Dispose();
                throw;
            }
        };
    }

    public static Precision CheckPrecision(string name) => name switch
    {
        "fp32" => Kernels.Devices.Precision.Fp32,
        "tf32" => Kernels.Devices.Precision.Tf32,
        "bf16" => Kernels.Devices.Precision.Bf16,
        _ => throw new UsageException($"--precision expects fp32, tf32 or bf16 but is {name}"),
    };

    public static DeviceName CheckDevice(string name) => DeviceName.TryParse(name, out var device) ? device
        : throw new UsageException($"--device expects {DeviceName.Expected} but is {name}");

    public static int CheckThreads(int threads) => threads is >= 0 and <= MostThreads ? threads
        : throw new UsageException($"--threads expects 0 to {MostThreads} but is {threads}");
}
