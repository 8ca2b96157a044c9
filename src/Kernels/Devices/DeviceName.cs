using System.Globalization;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// The name of a device as users write it: auto, cpu, cuda:N, opencl:N, ilgpu-cpu. A kind alone means its first device. "auto" is cuda:0
/// where that opens and passes its self-check, else cpu.
/// </summary>
internal readonly record struct DeviceName(string Kind, int Index)
{
    /// <summary>What a message says it expects.</summary>
    public const string Expected = "auto, cpu, cuda:N, opencl:N or ilgpu-cpu";

    private const string Auto = "auto", Cpu = "cpu", Cuda = "cuda", OpenCl = "opencl", IlgpuCpu = "ilgpu-cpu";

    /// <summary>Whether the text is a device's name; the device may be absent.</summary>
    public static bool TryParse(string text, out DeviceName name)
    {
        string[] parts = text.Split(':');
        name = new(parts[0], 0);
        if (parts.Length == 1)
            return parts[0] is Auto or Cpu or Cuda or OpenCl or IlgpuCpu;
        if (parts.Length > 2 || parts[0] is not (Cuda or OpenCl) || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int index))
            return false;
        name = new(parts[0], index);
        return true;
    }

    /// <summary>The device of a name that a program gave.</summary>
    /// <exception cref="ArgumentException">Not the name of a device, or a negative number of threads.</exception>
    /// <exception cref="KernelException">No such device on this machine.</exception>
    public static Device Open(string operation, string device, int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        return TryParse(device, out var name) ? name.Open(threads)
            : throw new ArgumentException($"{operation}: device expects {Expected} but is {device}", nameof(device));
    }

    /// <param name="threads">Of the processor's team; 0 means all cores.</param>
    /// <exception cref="KernelException">No such device on this machine; says what was found or which library is missing.</exception>
    /// <param name="note">Told in one sentence what "auto" has chosen, and why not CUDA.</param>
    public Device Open(int threads, Action<string>? note = null)
    {
        if (Kind != Auto)
            return Kind == Cpu ? new CpuDevice(threads) : GpuDevice.Open(ToString());
        try
        {
            var device = GpuDevice.Open("cuda:0");
            note?.Invoke($"computing on {device.Name}, {device.Accelerator.Name}");
            return device;
        }
        catch (KernelException e)
        {
            note?.Invoke($"computing on the processor, as there is no CUDA: {e.Message}");
            return new CpuDevice(threads);
        }
    }

    public override string ToString() => Kind is Cuda or OpenCl ? $"{Kind}:{Index}" : Kind;
}
