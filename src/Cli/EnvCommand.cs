using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Cli;

/// <summary>Prints what this machine offers: processor features, devices, libraries found or why not.</summary>
internal static class EnvCommand
{
    public static Command Create()
    {
        Option<string?> json = SharedOptions.Json();
        var command = new Command("env", """
            Shows processor features, devices and libraries, and why something is missing.

            Example:
              cudakernels env --json -
            """) { json };
        command.SetAction(parsed =>
        {
            var facts = Collect();
            var report = new Report(parsed.GetValue(json));
            foreach (var (name, value) in facts)
                report.Line($"{name,-22} {value}");
            report.Json(new JsonObject(facts.Select(f => KeyValuePair.Create<string, JsonNode?>(f.Name, f.Value)))
                .ToJsonString(new JsonSerializerOptions { WriteIndented = parsed.GetValue(json) != "-" }));
            return CommandLine.Done;
        });
        return command;
    }

    private static List<(string Name, string Value)> Collect() =>
    [
        ("version", typeof(EnvCommand).Assembly.GetName().Version?.ToString(3) ?? ""),
        ("runtime", RuntimeInformation.FrameworkDescription),
        ("system", $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}"),
        ("cores", Environment.ProcessorCount.ToString()),
        ("vector width", $"{(int)CpuDevice.WidestSupported * 32} bits"),
        ("avx512", YesNo(Avx512F.IsSupported)),
        ("avx2", YesNo(Avx2.IsSupported)),
        ("fma", YesNo(Fma.IsSupported)),
        ("--device auto", Auto()),
        ("cuda devices", GpuDevice.Describe("cuda")),
        ("opencl devices", GpuDevice.Describe("opencl")),
        ("ilgpu-cpu", GpuDevice.Describe("ilgpu-cpu")),
        ("memory", $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20} MiB"),
        ("image library", Detection.ImageFile.LibraryVersion),
        ("cuda driver", Driver("cuda") ?? $"for CUDA {CudaDriver.Version}"),
        ("opencl", Driver("opencl") ?? "found"),
        ("mpi", Found(() => MpiNative.Load().Version)),
        ("nccl", Found(NcclVersion)),
    ];

    private static string Auto()
    {
        string chosen = "";
        using var device = SharedOptions.OpenDevice("auto", 1, sentence => chosen = sentence);
        return $"{device.Name}: {chosen}";
    }

    private static string? Driver(string kind) => GpuLibraries.Missing(kind) is { } problem ? $"not used: {problem}" : null;

    private static string YesNo(bool value) => value ? "yes" : "no";

    private static string NcclVersion()
    {
        using var library = NcclNative.Load();
        return $"version {library.Version / 10000}.{library.Version / 100 % 100}.{library.Version % 100}";
    }

    private static string Found(Func<string> describe)
    {
        try
        {
            return describe();
        }
        catch (KernelException e)
        {
            return $"not used: {e.Message}";
        }
    }
}
