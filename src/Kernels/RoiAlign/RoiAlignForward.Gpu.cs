using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The ILGPU path: the RoIs are placed once, then a thread for each bin and channel (or four) walks the bin's samples.</summary>
internal readonly partial record struct RoiAlignForward
{
    private const int RowsPerThread = 1;

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(X.Shape[3], X, Y))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = RoiGrid.Of(X.Shape, Y.Shape, Rule);
        using var places = RoiPlaces.Rent(device, Rois);
        var bins = new ChannelGrid(Y.Shape.Rows, grid.Channels / T.Count, RowsPerThread);
        device.Launch(Kernel, bins.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, X), GpuLanes.Of<T>(device, Y), RoiPlaces.Fill(device, places, Rois, grid), grid, bins));
    }

    internal readonly record struct Arguments<T>(ArrayView<T> X, ArrayView<T> Y, ArrayView<RoiPlace> Places, RoiGrid Rois, ChannelGrid Grid)
        where T : unmanaged, ISimd<T>;

    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        for (int bin = a.Grid.FirstRow; bin < end; bin += step)
        {
            int roi = bin / a.Rois.Bins, inRoi = bin - roi * a.Rois.Bins, row = inRoi / a.Rois.BinsAcross, column = inRoi - row * a.Rois.BinsAcross;
            var place = a.Places[roi];
            RoiAxis rows = place.Rows, columns = place.Columns;
            rows.SamplesIn(row, -1, rows.Size, out int firstRow, out int endRow);
            columns.SamplesIn(column, -1, columns.Size, out int firstColumn, out int endColumn);
            long image = (long)place.Image * rows.Size * columns.Size * channels + channel;
            var sum = T.Zero;
            for (int i = firstRow; i < endRow; i++)
            {
                int y = rows.Position(row, i, out float down);
                for (int j = firstColumn; j < endColumn; j++)
                {
                    int x = columns.Position(column, j, out float right);
                    if (y < 0 || x < 0)
                        continue;
                    // Beside the last row or column the weight is zero and the pixel itself stands in.
                    long at = image + ((long)y * columns.Size + x) * channels;
                    int beside = right > 0 ? channels : 0;
                    long below = at + (down > 0 ? (long)columns.Size * channels : 0);
                    sum = T.Fma(T.Create((1 - down) * (1 - right)), a.X[at], sum);
                    sum = T.Fma(T.Create((1 - down) * right), a.X[at + beside], sum);
                    sum = T.Fma(T.Create(down * (1 - right)), a.X[below], sum);
                    sum = T.Fma(T.Create(down * right), a.X[below + beside], sum);
                }
            }
            a.Y[(long)bin * channels + channel] = T.Create(place.Share) * sum;
        }
    }
}
