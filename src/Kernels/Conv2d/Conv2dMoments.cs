using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// A convolution and what the batch norm behind it measures of y: per channel the mean and the biased variance over all pixels. On tensor cores they are measured before y leaves
/// the chip; elsewhere this is the convolution followed by <see cref="BatchNormStatistics"/>. The convolution stores its sums as they are: no bias, activation, scale or residual.
/// </summary>
internal readonly record struct Conv2dMoments(Conv2dForward Conv, TensorView Mean, TensorView Variance) : IKernel
{
    public Cost Cost => new(Conv.Cost.Flops + Statistics.Cost.Flops, Conv.Cost.Bytes + Statistics.Cost.Bytes);

    private BatchNormStatistics Statistics => new(Conv.Y, Mean, Variance);

    public void Validate()
    {
        Conv.Validate();
        Statistics.Validate();
        if (!Conv.Bias.IsNone || !Conv.Scale.IsNone || !Conv.Residual.IsNone || Conv.Activation.Factor != 1)
            throw new KernelException($"{nameof(Conv2dMoments)}: expects a convolution without bias, scale, residual and activation but is {Conv}");
    }

    public void Run(CpuDevice device)
    {
        Conv.Run(device);
        Statistics.Run(device);
    }

    public void Run(GpuDevice device)
    {
        if (!Conv.Run(device, Mean, Variance))
            Statistics.Run(device);
    }
}
