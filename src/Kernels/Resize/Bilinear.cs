using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// y = x resized to y's height and width: each pixel the mean of four neighbours, weighted by distance in rows times distance in
/// columns; positions as in <see cref="ResizeAxis"/>, half-pixel centres or aligned corners. Layout (N,H,W,C), any sizes.
/// </summary>
internal readonly record struct BilinearForward(TensorView X, TensorView Y, bool AlignCorners) : IKernel
{
    public Cost Cost => new(8.0 * Y.Length, X.Bytes + Y.Bytes);

    public void Validate() => ResizeRows.Validate(nameof(BilinearForward), "x", X, "y", Y);

    public void Run(CpuDevice device) => ResizeRows.Forward(device, X, Y, AlignCorners ? ResizeMode.AlignCorners : ResizeMode.HalfPixel);

    public void Run(GpuDevice device) => ResizeRows.Forward(device, X, Y, AlignCorners ? ResizeMode.AlignCorners : ResizeMode.HalfPixel);
}

/// <summary>gradX (+)= the transposed resize of gradY: each input pixel gathers from the outputs that read it.</summary>
internal readonly record struct BilinearBackward(TensorView GradY, TensorView GradX, bool AlignCorners, bool Accumulate) : IKernel
{
    public Cost Cost => new(8.0 * GradY.Length, GradY.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate() => ResizeRows.Validate(nameof(BilinearBackward), "gradX", GradX, "gradY", GradY);

    public void Run(CpuDevice device) =>
        ResizeRows.Backward(device, GradY, GradX, AlignCorners ? ResizeMode.AlignCorners : ResizeMode.HalfPixel, Accumulate);

    public void Run(GpuDevice device) =>
        ResizeRows.Backward(device, GradY, GradX, AlignCorners ? ResizeMode.AlignCorners : ResizeMode.HalfPixel, Accumulate);
}
