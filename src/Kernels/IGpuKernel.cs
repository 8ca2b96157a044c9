using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>A kernel that also runs through ILGPU. It joins <see cref="IKernel"/> once every kernel has this path.</summary>
internal interface IGpuKernel : IKernel
{
    void Run(GpuDevice device);
}
