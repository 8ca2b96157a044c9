using System.Numerics;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path gathers, without float atomics: for every tile of pixels a row of bits says which RoIs may read it, and each pixel adds up its
/// tile's RoIs in their order, for each the bins whose samples read the pixel. A thread is one pixel and channel (or four).
/// </summary>
internal readonly partial record struct RoiAlignInputGradient
{
    private const int RowsPerThread = 1, Word = 64;

    public void Run(GpuDevice device)
    {
        if (GpuLanes.ByFour(GradX.Shape[3], GradX, GradY))
            Run<Quad<F32x1>>(device);
        else
            Run<F32x1>(device);
    }

    private void Run<T>(GpuDevice device) where T : unmanaged, ISimd<T>
    {
        var grid = RoiGrid.Of(GradX.Shape, GradY.Shape, Rule);
        var tiles = new RoiTiles(grid, Rois.Shape[0]);
        using var scratch = RoiPlaces.Rent(device, Rois);
        using var bits = new Scratch(device, new Shape(tiles.Count, tiles.Words, 2), DType.I32, nameof(RoiTiles));
        var places = RoiPlaces.Fill(device, scratch, Rois, grid);
        var masks = device.I32(bits).Cast<ulong>();
        device.LaunchFor(MaskKernel, (long)tiles.Count * tiles.Words, new MaskArguments(places, masks, tiles));
        var pixels = new ChannelGrid(GradX.Shape.Rows, grid.Channels / T.Count, RowsPerThread);
        device.Launch(Kernel, pixels.Groups, ChannelGrid.Threads, new Arguments<T>(
            GpuLanes.Of<T>(device, GradY), GpuLanes.Of<T>(device, GradX), places, masks, tiles, grid, pixels, Accumulate ? 1 : 0));
    }

    /// <summary>The images cut into squares; a tile's bits are <see cref="Words"/> words, bit r of word w for RoI 64 w + r.</summary>
    internal readonly struct RoiTiles(RoiGrid grid, int rois)
    {
        private const int Side = 8;

        public int Down { get; } = (grid.Height + Side - 1) / Side;

        public int Across { get; } = (grid.Width + Side - 1) / Side;

        public int Count { get; } = checked(grid.Batch * ((grid.Height + Side - 1) / Side) * ((grid.Width + Side - 1) / Side));

        public int Rois { get; } = rois;

        public int Words { get; } = (rois + Word - 1) / Word;

        public int Tile(int image, int row, int column) => (image * Down + row / Side) * Across + column / Side;

        /// <summary>Whether a RoI may read a pixel of the tile.</summary>
        public bool Meets(RoiPlace place, int tile)
        {
            int line = tile / Across, image = line / Down, top = (line - image * Down) * Side, left = (tile - line * Across) * Side;
            place.Rows.Pixels(out int firstRow, out int endRow);
            place.Columns.Pixels(out int firstColumn, out int endColumn);
            return place.Image == image && firstRow < top + Side && endRow > top && firstColumn < left + Side && endColumn > left;
        }
    }

    internal readonly record struct MaskArguments(ArrayView<RoiPlace> Places, ArrayView<ulong> Masks, RoiTiles Tiles);

    private static void MaskKernel(MaskArguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Masks.Length)
            return;
        int tile = (int)(i / a.Tiles.Words), first = (int)(i - (long)tile * a.Tiles.Words) * Word, end = Math.Min(Word, a.Tiles.Rois - first);
        ulong mask = 0;
        for (int bit = 0; bit < end; bit++)
            if (a.Tiles.Meets(a.Places[first + bit], tile))
                mask |= 1ul << bit;
        a.Masks[i] = mask;
    }

    internal readonly record struct Arguments<T>(
        ArrayView<T> GradY, ArrayView<T> GradX, ArrayView<RoiPlace> Places, ArrayView<ulong> Masks, RoiTiles Tiles, RoiGrid Rois, ChannelGrid Grid, int Accumulate)
        where T : unmanaged, ISimd<T>;

    private static void Kernel<T>(Arguments<T> a) where T : unmanaged, ISimd<T>
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step, channels = a.Grid.Channels;
        if (channel >= channels)
            return;
        for (int pixel = a.Grid.FirstRow; pixel < end; pixel += step)
        {
            int line = pixel / a.Rois.Width, image = line / a.Rois.Height, row = line - image * a.Rois.Height, column = pixel - line * a.Rois.Width;
            long word = (long)a.Tiles.Tile(image, row, column) * a.Tiles.Words;
            long to = (long)pixel * channels + channel;
            var sum = T.Zero;
            for (int first = 0; first < a.Tiles.Rois; first += Word, word++)
                for (ulong mask = a.Masks[word]; mask != 0; mask &= mask - 1)
                {
                    int roi = first + BitOperations.PopCount((mask & (~mask + 1)) - 1);
                    sum = OfRoi(a, roi, row, column, (long)roi * a.Rois.Bins * channels + channel, sum);
                }
            a.GradX[to] = a.Accumulate != 0 ? a.GradX[to] + sum : sum;
        }
    }

    /// <summary>sum + what flows from one RoI to a pixel; its gradient begins at <paramref name="from"/>.</summary>
    private static T OfRoi<T>(Arguments<T> a, int roi, int row, int column, long from, T sum) where T : unmanaged, ISimd<T>
    {
        var place = a.Places[roi];
        RoiAxis rows = place.Rows, columns = place.Columns;
        rows.BinsAt(row, out int firstDown, out int endDown);
        columns.BinsAt(column, out int firstAcross, out int endAcross);
        for (int i = firstDown; i < endDown; i++)
        {
            float down = rows.Weight(i, row) * place.Share;
            if (down == 0)
                continue;
            for (int j = firstAcross; j < endAcross; j++)
            {
                float weight = down * columns.Weight(j, column);
                if (weight != 0)
                    sum = T.Fma(T.Create(weight), a.GradY[from + (long)(i * a.Rois.BinsAcross + j) * a.Grid.Channels], sum);
            }
        }
        return sum;
    }
}
