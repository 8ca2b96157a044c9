using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The ILGPU path: a thread for each pixel that is written and channel (or four).</summary>
internal static partial class AveragePoolRows
{
    private const int RowsPerThread = 4;

    public static void Forward(GpuDevice device, AveragePoolForward op)
    {
        if (GpuLanes.ByFour(op.X.Shape[3], op.X, op.Y))
            Run<Quad<F32x1>>(device, op.X, op.Y, op.Rows, op.Columns, forward: true, accumulate: false);
        else
            Run<F32x1>(device, op.X, op.Y, op.Rows, op.Columns, forward: true, accumulate: false);
    }

    public static void Backward(GpuDevice device, AveragePoolBackward op)
    {
        if (GpuLanes.ByFour(op.GradX.Shape[3], op.GradX, op.GradY))
            Run<Quad<F32x1>>(device, op.GradX, op.GradY, op.Rows, op.Columns, forward: false, op.Accumulate);
        else
            Run<F32x1>(device, op.GradX, op.GradY, op.Rows, op.Columns, forward: false, op.Accumulate);
    }

    private static void Run<T>(GpuDevice device, TensorView input, TensorView output, AverageAxis rows, AverageAxis columns, bool forward, bool accumulate)
        where T : unmanaged, ISimd<T>
    {
        var written = forward ? output : input;
        var grid = new ChannelGrid(written.Shape.Rows, written.Shape.Channels / T.Count, RowsPerThread);
        var arguments = new Arguments<T>(GpuLanes.Of<T>(device, input), GpuLanes.Of<T>(device, output), rows, columns, grid, accumulate ? 1 : 0);
        if (forward)
            device.Launch(ForwardKernel, grid.Groups, ChannelGrid.Threads, arguments);
        else
            device.Launch(BackwardKernel, grid.Groups, ChannelGrid.Threads, arguments);
    }

    /// <summary>Input is what the forward pass reads (the gradient of it is written), output what it writes.</summary>
    internal readonly record struct Arguments<T>(
        ArrayView<T> Input, ArrayView<T> Output, AverageAxis Rows, AverageAxis Columns, ChannelGrid Grid, int Accumulate) where T : unmanaged, ISimd<T>;

    private static void ForwardKernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.Columns.Output, image = row / a.Rows.Output, oy = row - image * a.Rows.Output, ox = pixel - row * a.Columns.Output;
            int bottom = a.Rows.End(oy), left = a.Columns.Begin(ox), right = a.Columns.End(ox);
            var sum = T.Zero;
            for (int iy = a.Rows.Begin(oy); iy < bottom; iy++)
            {
                long from = (((long)image * a.Rows.Input + iy) * a.Columns.Input + left) * channels + channel;
                for (int ix = left; ix < right; ix++, from += channels)
                    sum += a.Input[from];
            }
            a.Output[(long)pixel * channels + channel] = T.Create(1f / ((float)a.Rows.Divisor(oy) * a.Columns.Divisor(ox))) * sum;
        }
    }

    private static void BackwardKernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.Columns.Input, image = row / a.Rows.Input, iy = row - image * a.Rows.Input, ix = pixel - row * a.Columns.Input;
            int bottom = a.Rows.EndOutput(iy), left = a.Columns.FirstOutput(ix), right = a.Columns.EndOutput(ix);
            var sum = T.Zero;
            for (int oy = a.Rows.FirstOutput(iy); oy < bottom; oy++)
            {
                float down = 1f / a.Rows.Divisor(oy);
                long from = (((long)image * a.Rows.Output + oy) * a.Columns.Output + left) * channels + channel;
                for (int ox = left; ox < right; ox++, from += channels)
                    sum = T.Fma(T.Create(down * (1f / a.Columns.Divisor(ox))), a.Output[from], sum);
            }
            long to = (long)pixel * channels + channel;
            a.Input[to] = a.Accumulate != 0 ? a.Input[to] + sum : sum;
        }
    }
}
