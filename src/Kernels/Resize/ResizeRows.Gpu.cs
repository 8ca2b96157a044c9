using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path. A first kernel fills both axes' tables on the device, so that no step waits for the host: per output the input it
/// reads and the weight of the next one (<see cref="ResizeAxis.Position"/>), per input the first output that reads it and the one behind
/// the last, found by bisection, because positions ascend. The second kernel lays threads over channels (or fours of them)
/// and pixels.
/// </summary>
internal static unsafe partial class ResizeRows
{
    private const int RowsPerThread = 4;

    public static void Forward(GpuDevice device, TensorView x, TensorView y, ResizeMode mode) => Run(device, x, y, mode, forward: true, accumulate: false);

    public static void Backward(GpuDevice device, TensorView gradY, TensorView gradX, ResizeMode mode, bool accumulate) =>
        Run(device, gradX, gradY, mode, forward: false, accumulate);

    private static void Run(GpuDevice device, TensorView input, TensorView output, ResizeMode mode, bool forward, bool accumulate)
    {
        if (GpuLanes.ByFour(input.Shape.Channels, input, output))
            Run<Quad<F32x1>>(device, input, output, mode, forward, accumulate);
        else
            Run<F32x1>(device, input, output, mode, forward, accumulate);
    }

    private static void Run<T>(GpuDevice device, TensorView input, TensorView output, ResizeMode mode, bool forward, bool accumulate)
        where T : unmanaged, ISimd<T>
    {
        var rows = new AxisTable(0, input.Shape[1], output.Shape[1]);
        var columns = new AxisTable(rows.Length, input.Shape[2], output.Shape[2]);
        using var table = new Scratch(device, new Shape(rows.Length + columns.Length), DType.I32, nameof(ResizeRows));
        var numbers = device.I32(table);
        device.LaunchFor(TableKernel, rows.Threads, new TableArguments(numbers, rows, (int)mode));
        device.LaunchFor(TableKernel, columns.Threads, new TableArguments(numbers, columns, (int)mode));
        var written = forward ? output : input;
        var grid = new ChannelGrid(written.Shape.Rows, written.Shape.Channels / T.Count, RowsPerThread);
        var arguments = new ResizeArguments<T>(GpuLanes.Of<T>(device, input), GpuLanes.Of<T>(device, output), numbers, rows, columns, grid, accumulate ? 1 : 0);
        if (forward)
            device.Launch(ForwardKernel, grid.Groups, ChannelGrid.Threads, arguments);
        else
            device.Launch(BackwardKernel, grid.Groups, ChannelGrid.Threads, arguments);
    }

    /// <summary>Where the numbers of one axis lie: low and the bits of weight per output, begin and end per input.</summary>
    internal readonly record struct AxisTable(int Start, int Input, int Output)
    {
        public int Length => 2 * (Input + Output);

        public int Threads => Math.Max(Input, Output);

        public int Low(int o) => Start + o;

        public int Weight(int o) => Start + Output + o;

        public int Begin(int i) => Start + 2 * Output + i;

        public int End(int i) => Start + 2 * Output + Input + i;
    }

    internal readonly record struct TableArguments(ArrayView<int> Table, AxisTable Axis, int Mode);

    /// <summary>Input is what the forward pass reads (the gradient of it is written), output what it writes.</summary>
    internal readonly record struct ResizeArguments<T>(
        ArrayView<T> Input, ArrayView<T> Output, ArrayView<int> Table, AxisTable Rows, AxisTable Columns, ChannelGrid Grid, int Accumulate)
        where T : unmanaged, ISimd<T>
    {
        /// <summary>The weight with which output <paramref name="o"/>, one of its range, reads input <paramref name="i"/>.</summary>
        public float Share(AxisTable axis, int i, int o)
        {
            float next = Interop.IntAsFloat((uint)Table[axis.Weight(o)]);
            return Table[axis.Low(o)] == i ? 1 - next : next;
        }
    }

    private static void TableKernel(TableArguments a)
    {
        int i = (int)Grid.GlobalLinearIndex;
        var axis = a.Axis;
        if (i < axis.Output)
        {
            a.Table[axis.Low(i)] = ResizeAxis.Position((ResizeMode)a.Mode, i, axis.Input, axis.Output, out float weight);
            a.Table[axis.Weight(i)] = (int)Interop.FloatAsInt(weight);
        }
        if (i < axis.Input)
        {
            a.Table[axis.Begin(i)] = FirstAt(axis, a.Mode, i - 1, 0);
            a.Table[axis.End(i)] = FirstAt(axis, a.Mode, i, -1);
        }
    }

    /// <summary>The first output that reads behind <paramref name="low"/>, or at it with a weight of the next above the bound (-1: any).</summary>
    private static int FirstAt(AxisTable axis, int mode, int low, float bound)
    {
        int first = 0, count = axis.Output;
        while (count > 0)
        {
            int half = count / 2, middle = first + half;
            int position = ResizeAxis.Position((ResizeMode)mode, middle, axis.Input, axis.Output, out float weight);
            bool before = bound < 0 ? position <= low : position < low || position == low && weight == 0;
            first = before ? middle + 1 : first;
            count = before ? count - half - 1 : half;
        }
        return first;
    }

    private static void ForwardKernel<T>(ResizeArguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        long rowLength = (long)a.Columns.Input * channels;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.Columns.Output, image = row / a.Rows.Output, oy = row - image * a.Rows.Output, ox = pixel - row * a.Columns.Output;
            float weightY = Interop.IntAsFloat((uint)a.Table[a.Rows.Weight(oy)]), weightX = Interop.IntAsFloat((uint)a.Table[a.Columns.Weight(ox)]);
            long upper = ((long)image * a.Rows.Input + a.Table[a.Rows.Low(oy)]) * rowLength + (long)a.Table[a.Columns.Low(ox)] * channels + channel;
            long lower = weightY > 0 ? upper + rowLength : upper;
            int right = weightX > 0 ? channels : 0;
            var value = a.Input[upper];
            // A copied pixel stays as it is, infinite or not: no zero weight meets it.
            if (lower != upper || right != 0)
            {
                T left = T.Create(1 - weightX), next = T.Create(weightX);
                var top = (a.Input[upper + right] * next + value * left) * T.Create(1 - weightY);
                value = top + (a.Input[lower + right] * next + a.Input[lower] * left) * T.Create(weightY);
            }
            a.Output[(long)pixel * channels + channel] = value;
        }
    }

    private static void BackwardKernel<T>(ResizeArguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int row = pixel / a.Columns.Input, image = row / a.Rows.Input, iy = row - image * a.Rows.Input, ix = pixel - row * a.Columns.Input;
            int endY = a.Table[a.Rows.End(iy)], firstX = a.Table[a.Columns.Begin(ix)], endX = a.Table[a.Columns.End(ix)];
            var sum = T.Zero;
            for (int oy = a.Table[a.Rows.Begin(iy)]; oy < endY; oy++)
            {
                float shareY = a.Share(a.Rows, iy, oy);
                long from = (((long)image * a.Rows.Output + oy) * a.Columns.Output + firstX) * channels + channel;
                for (int ox = firstX; ox < endX; ox++, from += channels)
                    sum = T.Fma(T.Create(shareY * a.Share(a.Columns, ix, ox)), a.Output[from], sum);
            }
            long to = (long)pixel * channels + channel;
            a.Input[to] = a.Accumulate != 0 ? a.Input[to] + sum : sum;
        }
    }
}
