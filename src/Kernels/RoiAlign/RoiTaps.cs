using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// The CPU path's tables. Bilinear samples on a grid are separable, so a bin is a few rows times a few columns: for each bin of an axis the
/// pixels its samples read, with the sum of their weights, a pixel once. All channels share them. Taps of a bin: [Start[bin], Start[bin + 1]).
/// </summary>
internal readonly unsafe struct RoiTaps(int* table, int bins, int capacity)
{
    public int* Start => table;

    public int* Pixel => table + bins + 1;

    public float* Weight => (float*)(Pixel + capacity);

    /// <summary>
    /// Taps of an axis at most. A bin with samples in [a, b] reads fewer than b − a + 4 pixels, the bins do not overlap, and each sample reads two.
    /// </summary>
    public static int Capacity(int bins, int size, int samplingRatio)
    {
        long open = size + 4L * bins + 8;
        return checked((int)(samplingRatio > 0 ? Math.Min(open, 2L * samplingRatio * bins) : open));
    }

    public void Fill(RoiAxis axis)
    {
        int count = 0;
        for (int bin = 0; bin < bins; bin++)
        {
            int start = Start[bin] = count;
            axis.SamplesIn(bin, -1, axis.Size, out int first, out int end);
            for (int sample = first; sample < end; sample++)
            {
                int low = axis.Position(bin, sample, out float next);
                if (low < 0)
                    continue;
                count = Add(start, count, low, 1 - next);
                if (next > 0)
                    count = Add(start, count, low + 1, next);
            }
        }
        Start[bins] = count;
    }

    /// <summary>Samples ascend or descend, so the pixel is one of the last three or new.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Add(int start, int count, int pixel, float weight)
    {
        for (int i = count - 1; i >= start && i >= count - 3; i--)
            if (Pixel[i] == pixel)
            {
                Weight[i] += weight;
                return count;
            }
        (Pixel[count], Weight[count]) = (pixel, weight);
        return count + 1;
    }
}

/// <summary>Places and taps of all RoIs, made by the team before the loops over channels.</summary>
internal readonly unsafe ref struct RoiTable : IDisposable
{
    private readonly Scratch numbers, places;

    public RoiTable(CpuDevice device, TensorView rois, RoiGrid grid)
    {
        int count = rois.Shape[0];
        int rowCapacity = RoiTaps.Capacity(grid.BinsDown, grid.Height, grid.SamplingRatio), columnCapacity = RoiTaps.Capacity(grid.BinsAcross, grid.Width, grid.SamplingRatio);
        var view = new View(null, null, grid, rowCapacity, columnCapacity);
        numbers = new Scratch(device, new Shape(count, view.Length), DType.I32, nameof(RoiTable));
        places = new Scratch(device, new Shape(count, sizeof(RoiPlace)), DType.U8, nameof(RoiTable));
        Rois = new View(numbers.I32, (RoiPlace*)places.U8, grid, rowCapacity, columnCapacity);
        device.Team.For(count, new FillBody(rois.F32, Rois), grain: 64);
    }

    public View Rois { get; }

    public void Dispose()
    {
        numbers.Dispose();
        places.Dispose();
    }

    internal readonly struct View(int* numbers, RoiPlace* places, RoiGrid grid, int rowCapacity, int columnCapacity)
    {
        public RoiGrid Grid => grid;

        /// <summary>Numbers of a RoI.</summary>
        public int Length => RowLength + grid.BinsAcross + 1 + 2 * columnCapacity;

        public RoiPlace* Places => places;

        public RoiTaps Rows(int roi) => new(numbers + (long)roi * Length, grid.BinsDown, rowCapacity);

        public RoiTaps Columns(int roi) => new(numbers + (long)roi * Length + RowLength, grid.BinsAcross, columnCapacity);

        private int RowLength => grid.BinsDown + 1 + 2 * rowCapacity;
    }

    private readonly struct FillBody(float* rois, View view) : IRangeBody
    {
        public void Invoke(int start, int end, int worker)
        {
            for (int roi = start; roi < end; roi++)
            {
                float* box = rois + 5L * roi;
                var place = RoiPlace.At(box[0], box[1], box[2], box[3], box[4], view.Grid);
                view.Places[roi] = place;
                view.Rows(roi).Fill(place.Rows);
                view.Columns(roi).Fill(place.Columns);
            }
        }
    }
}
