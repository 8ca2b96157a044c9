using System.Reflection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// The one device on which tests run the ILGPU path: OpenCL on the processor (pocl-opencl-icd), unless another is named. Tests take turns, so that each can
/// count the pool's bytes. Where there is no such device the test is skipped and says so.
/// </summary>
internal static class GpuUnderTest
{
    private static readonly object Turn = new();
    private static readonly Lazy<HashSet<MethodInfo>> Known = new(() => [.. GpuKernels.Find()]);
    private static readonly HashSet<MethodInfo> Reported = [];
    private static readonly Lazy<(GpuDevice? Device, string Reason)> Shared = new(Open);

    /// <summary>The device's name; set before the first test to prove another one.</summary>
    public static string Name { get; set; } = "opencl:0";

    /// <summary>Skips the running test where there is no such device.</summary>
    public static GpuDevice Require()
    {
        var (device, reason) = Shared.Value;
        if (device is null)
            Assert.Skip($"the ILGPU path is not tested here: {reason} (opencl:0 is in the package pocl-opencl-icd)");
        return device;
    }

    public static GpuDevice Enter()
    {
        ResultTrace.Entered();
        var device = Require();
        Monitor.Enter(Turn);
        return device;
    }

    /// <summary>Ends a turn. A kernel was launched that the proofs without a GPU would not see: the test that launched it fails.</summary>
    public static void Leave()
    {
        var device = Shared.Value.Device!;
        string[] forgotten = [.. device.Kernels.Where(k => k.Module.Assembly == typeof(GpuKernels).Assembly && !Known.Value.Contains(k) && Reported.Add(k)).Select(KernelLoader.NameOf)];
        Monitor.Exit(Turn);
        Assert.True(forgotten.Length == 0, $"GpuKernels.Find does not see {string.Join(", ", forgotten)}");
    }

    private static (GpuDevice?, string) Open()
    {
        try
        {
            return (GpuDevice.Open(Name), "");
        }
        catch (KernelException e)
        {
            return (null, e.Message);
        }
    }
}
