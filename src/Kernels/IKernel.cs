using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>What one run of a kernel costs: the profiler and the roofline divide by the time it took.</summary>
/// <param name="Flops">Floating-point operations; a fused multiply-add counts as two.</param>
/// <param name="Bytes">Bytes that have to be read and written at least once.</param>
internal readonly record struct Cost(double Flops, double Bytes);

/// <summary>
/// A kernel is a value: it names its views and numbers, checks itself, knows its cost and how to run.
/// <see cref="Device.Run"/> is the only way anything executes. The GPU path adds its own <c>Run</c> here.
/// </summary>
internal interface IKernel
{
    Cost Cost { get; }

    /// <summary>Checks every shape, type and aliasing rule; throws <see cref="KernelException"/>.</summary>
    void Validate();

    void Run(CpuDevice device);
}
