using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The columns of <see cref="DeformGather{TVector}"/> on a GPU: one thread a value, neighbours are neighbouring channels. They are made for as many whole
/// images at a time as a fixed number of bytes holds.
/// </summary>
internal static class DeformColumns
{
    private const long ChunkBytes = 64 << 20;

    internal readonly record struct Arguments(ArrayView<float> Columns, DeformImage Image, DeformPlaces Places, long FirstPixel, long Pixels);

    /// <summary>Images whose columns are made at a time: at least one.</summary>
    public static int ChunkImages(DeformShapes shapes) =>
        (int)Math.Clamp(ChunkBytes / Math.Max(1, sizeof(float) * shapes.ImagePixels * shapes.RowLength), 1, Math.Max(1, shapes.Conv.Batch));

    public static DeformPlaces Places(GpuDevice device, DeformShapes shapes, TensorView offset, TensorView mask) =>
        new(device.F32(offset), device.F32(mask), mask.IsNone ? 0 : 1, DeformGrid.Of(shapes));

    public static void Gather(GpuDevice device, DeformPlaces places, TensorView x, TensorView columns, long firstPixel, long pixels) =>
        device.LaunchFor(Kernel, pixels * places.Grid.RowLength,
            new Arguments(device.F32(columns), new DeformImage(device.F32(x), places.Grid), places, firstPixel, pixels));

    private static void Kernel(Arguments a)
    {
        var grid = a.Places.Grid;
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Pixels * grid.RowLength)
            return;
        long inChunk = i / grid.RowLength, pixel = a.FirstPixel + inChunk;
        int column = (int)(i - inChunk * grid.RowLength), line = column / grid.GroupIn, group = line / grid.Taps;
        int channel = group * grid.GroupIn + column - line * grid.GroupIn;
        var at = a.Places.Of((pixel * grid.OffsetGroups + channel / grid.GroupChannels) * grid.Taps + line - group * grid.Taps);
        float value = 0;
        if (at.Inside != 0)
        {
            long image = pixel / grid.OutPixels;
            value = at.TopLeft * a.Image.Read(image, at.Row, at.Column, channel) + at.TopRight * a.Image.Read(image, at.Row, at.Column + 1, channel)
                + at.BottomLeft * a.Image.Read(image, at.Row + 1, at.Column, channel) + at.BottomRight * a.Image.Read(image, at.Row + 1, at.Column + 1, channel);
        }
        a.Columns[i] = at.Mask * value;
    }
}
