using System.Diagnostics;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Drivers that are absent or no good: one line that says so, exit code 1, and the processor goes on working.</summary>
public sealed class MissingDriverTests
{
    private const string NoDevice = """
        int cuInit(unsigned f) { return 100; }
        int cuGetErrorName(int e, const char** s) { *s = "CUDA_ERROR_NO_DEVICE"; return 0; }
        int cuGetErrorString(int e, const char** s) { *s = "no CUDA-capable device is detected"; return 0; }
        """;

    private const string Old = """
        int cuInit(unsigned f) { return 0; }
        int cuDriverGetVersion(int* v) { *v = 11040; return 0; }
        """;

    [Theory]
    [InlineData("cuda:0", "libcuda.so.1")]
    [InlineData("opencl:0", "libOpenCL.so.1")]
    public void AnEmptyLibraryIsOneLine(string device, string library)
    {
        using var folder = new TempFolder();
        File.WriteAllBytes(folder[library], []);
        Train(folder, device).Fails(1, $"device {device}: ", library, "file too short");
    }

    /// <summary>The loader passes such a file over and goes on looking, so what it says in the end is that there is none.</summary>
    [Fact]
    public void ALibraryOfAnotherArchitectureIsOneLine()
    {
        Assert.SkipWhen(File.Exists("/dev/nvidiactl"), "this machine has a CUDA driver, which the loader would take");
        using var folder = new TempFolder();
        byte[] header = new byte[64];
        ((byte[])[0x7F, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1]).CopyTo(header, 0);
        (header[16], header[18], header[20], header[52]) = (3, 0xF3, 1, 64); // a shared object for RISC-V
        File.WriteAllBytes(folder["libcuda.so.1"], header);
        Train(folder, "cuda:0").Fails(1, "device cuda:0: ", "libcuda.so.1");
    }

    [Theory]
    [InlineData("cuda:0", "libcuda.so.1", "int something;", "it has no cuInit, so it is not the driver's library")]
    [InlineData("opencl:0", "libOpenCL.so.1", "int something;", "it has no clGetPlatformIDs, so it is not the driver's library")]
    [InlineData("cuda:0", "libcuda.so.1", NoDevice, "the CUDA driver does not start: 100 CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected")]
    [InlineData("cuda:0", "libcuda.so.1", Old, "the driver is made for CUDA 11.4, at least 12.0 is needed")]
    public void ALibraryThatIsNoGoodIsOneLine(string device, string library, string source, string words)
    {
        using var folder = new TempFolder();
        StubLibrary.Compile(folder, source, library);
        Train(folder, device).Fails(1, $"device {device}: ", words);
    }

    [Fact]
    public void AutoSaysOnceWhyNotAndUsesTheProcessor()
    {
        using var folder = new TempFolder();
        File.WriteAllBytes(folder["libcuda.so.1"], []);
        var facts = Run(folder, "env", "--json", "-").Json();
        Assert.Matches("^cpu: computing on the processor, as there is no CUDA: device cuda:0: .*libcuda.so.1: file too short$", (string?)facts["--device auto"]);
        Assert.Matches("^not used: .*libcuda.so.1: file too short$", (string?)facts["cuda driver"]);
        Assert.Matches("^none: .*libcuda.so.1: file too short$", (string?)facts["cuda devices"]);
        var ended = Train(folder, "auto"); // and then there is no data
        ended.Fails(1, "nowhere");
        Assert.Single(ended.Output.Split('\n'), line => line.Contains("computing on the processor"));
    }

    [Fact]
    public void ADeviceThatIsNotThereIsOneLine()
    {
        using var folder = new TempFolder();
        Train(folder, "opencl:99").Fails(1, "device opencl:99: ");
        Train(folder, "tpu:0").Fails(2, "--device expects auto, cpu, cuda:N, opencl:N or ilgpu-cpu but is tpu:0");
    }

    private static CliProcess Train(TempFolder libraries, string device) => Run(libraries, "train", "--data", "nowhere.yaml", "--out", libraries["run"], "--device", device);

    private static CliProcess Run(TempFolder libraries, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [CliProcess.Program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["LD_LIBRARY_PATH"] = libraries.Path;
        using var process = Process.Start(start)!;
        return CliProcess.Finish(process);
    }
}
