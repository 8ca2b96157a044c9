using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// y[n,oy,ox,c] = mean of x over the rows of oy and the columns of ox that <see cref="AverageAxis"/> names, windowed or adaptive.
/// Layout (N,H,W,C). The sum runs in row order in float. See <see cref="AveragePoolRows"/>.
/// </summary>
internal readonly record struct AveragePoolForward(TensorView X, TensorView Y, AverageAxis Rows, AverageAxis Columns) : IKernel
{
    public Cost Cost => new((double)Y.Length * Rows.Widest * Columns.Widest, X.Bytes + Y.Bytes);

    public void Validate() => AveragePoolRows.Validate(nameof(AveragePoolForward), "x", X, "y", Y, Rows, Columns);

    public void Run(CpuDevice device) => AveragePoolRows.Forward(device, this);

    public void Run(GpuDevice device) => AveragePoolRows.Forward(device, this);
}

/// <summary>gradX (+)= Σ over the outputs that read the pixel of gradY / divisor: each pixel gathers, so writes are apart and sums in a fixed order.</summary>
internal readonly record struct AveragePoolBackward(TensorView GradY, TensorView GradX, AverageAxis Rows, AverageAxis Columns, bool Accumulate) : IKernel
{
    public Cost Cost => new((double)GradY.Length * Rows.Widest * Columns.Widest, GradY.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    public void Validate() => AveragePoolRows.Validate(nameof(AveragePoolBackward), "gradX", GradX, "gradY", GradY, Rows, Columns);

    public void Run(CpuDevice device) => AveragePoolRows.Backward(device, this);

    public void Run(GpuDevice device) => AveragePoolRows.Backward(device, this);
}
