using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>y[oy,ox] = x[⌊oy·H/OH⌋, ⌊ox·W/OW⌋]: the nearest resize of PyTorch's "nearest". Layout (N,H,W,C), any sizes.</summary>
internal readonly record struct NearestForward(TensorView X, TensorView Y) : IKernel
{
    public Cost Cost => new(0, X.Bytes + Y.Bytes);

    public void Validate() => ResizeRows.Validate(nameof(NearestForward), "x", X, "y", Y);

    public void Run(CpuDevice device) => ResizeRows.Forward(device, X, Y, ResizeMode.Nearest);

    public void Run(GpuDevice device) => ResizeRows.Forward(device, X, Y, ResizeMode.Nearest);
}

/// <summary>gradX (+)= sum of gradY over the outputs that copied the pixel.</summary>
internal readonly record struct NearestBackward(TensorView GradY, TensorView GradX, bool Accumulate) : IKernel
{
    public Cost Cost => new(GradY.Length, GradY.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate() => ResizeRows.Validate(nameof(NearestBackward), "gradX", GradX, "gradY", GradY);

    public void Run(CpuDevice device) => ResizeRows.Backward(device, GradY, GradX, ResizeMode.Nearest, Accumulate);

    public void Run(GpuDevice device) => ResizeRows.Backward(device, GradY, GradX, ResizeMode.Nearest, Accumulate);
}
