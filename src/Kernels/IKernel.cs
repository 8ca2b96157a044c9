using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>What one run of a kernel costs: the profiler and the roofline divide by the time it took.</summary>
/// <param name="Flops">Floating-point operations; a fused multiply-add counts as two.</param>
/// <param name="Bytes">Bytes that have to be read and written at least once.</param>
internal readonly record struct Cost(double Flops, double Bytes);

/// <summary>
/// A kernel is a value: it names its views and numbers, checks itself, knows its cost and how to run.
/// <see cref="Device.Run"/> is the only way anything executes. Both paths stand side by side in the file of the kernel.
/// </summary>
internal interface IKernel
{
    Cost Cost { get; }

    /// <summary>Checks every shape, type and aliasing rule; throws <see cref="KernelException"/>.</summary>
    void Validate();

    /// <summary>On vectors of the processor.</summary>
    void Run(CpuDevice device);

    /// <summary>Through ILGPU: CUDA, and for verification OpenCL and ILGPU's own processor device.</summary>
    void Run(GpuDevice device);
}
