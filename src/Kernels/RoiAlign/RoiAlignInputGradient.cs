using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Gradient of <see cref="RoiAlignForward"/>: gradX (+)= Σ over the samples that read the pixel of weight · gradY / samples of a bin. Nothing flows
/// to the RoIs.
/// <para>
/// On the processor a task owns a band of rows of one image, small enough to stay in the cache while all RoIs in their order add to it: no two tasks
/// write one element, and the order of every sum is the same for any number of threads. Lanes over channels.
/// </para>
/// </summary>
internal readonly unsafe partial record struct RoiAlignInputGradient(TensorView GradY, TensorView Rois, TensorView GradX, RoiAlignRule Rule, bool Accumulate) : IKernel
{
    private const int BandBytes = 1 << 20;

    public Cost Cost => RoiAlignForward.CostOf(GradY, Rule) is var cost ? cost with { Bytes = cost.Bytes + GradX.Bytes * (Accumulate ? 2 : 1) } : default;

    public void Validate() => Rule.Validate(nameof(RoiAlignInputGradient), "gradX", GradX, Rois, "gradY", GradY);

    public void Run(CpuDevice device)
    {
        var grid = RoiGrid.Of(GradX.Shape, GradY.Shape, Rule);
        using var table = new RoiTable(device, Rois, grid);
        long rowBytes = (long)grid.Width * grid.Channels * sizeof(float);
        int height = (int)Math.Clamp(BandBytes / Math.Max(1, rowBytes), 1, grid.Height), bands = (grid.Height + height - 1) / height;
        device.For(grid.Batch * bands, new Bands(GradY.F32, GradX.F32, table.Rois, Rois.Shape[0], height, bands, Accumulate), VectorRange.Grain(height * rowBytes));
    }

    private readonly struct Bands(float* gradY, float* gradX, RoiTable.View rois, int count, int height, int bands, bool accumulate) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            var grid = rois.Grid;
            long rowLength = (long)grid.Width * grid.Channels;
            for (int task = start; task < end; task++)
            {
                int image = task / bands, first = task % bands * height, last = Math.Min(grid.Height, first + height);
                float* to = gradX + image * grid.Height * rowLength;
                if (!accumulate)
                    new Span<float>(to + first * rowLength, checked((int)((last - first) * rowLength))).Clear();
                for (int roi = 0; roi < count; roi++)
                    if (rois.Places[roi].Image == image)
                        Scatter<TVector>(roi, to, first, last);
            }
        }

        /// <summary>What one RoI adds to rows [first, last).</summary>
        private void Scatter<TVector>(int roi, float* image, int first, int last) where TVector : unmanaged, ISimd<TVector>
        {
            var grid = rois.Grid;
            rois.Places[roi].Rows.Pixels(out int top, out int bottom);
            if (top >= last || bottom <= first)
                return;
            RoiTaps down = rois.Rows(roi), across = rois.Columns(roi);
            float share = rois.Places[roi].Share;
            int channels = grid.Channels;
            long rowLength = (long)grid.Width * channels;
            float* from = gradY + (long)roi * grid.Bins * channels;
            for (int row = 0; row < grid.BinsDown; row++, from += (long)grid.BinsAcross * channels)
                for (int i = down.Start[row]; i < down.Start[row + 1]; i++)
                {
                    int pixel = down.Pixel[i];
                    if (pixel >= first && pixel < last)
                        Line<TVector>(from, across, down.Weight[i] * share, image + pixel * rowLength, grid.BinsAcross, channels);
                }
        }

        /// <summary>A row of bins to a row of pixels.</summary>
        [MethodImpl(HotLoop.Options)]
        private static void Line<TVector>(float* from, RoiTaps across, float weight, float* to, int bins, int channels) where TVector : unmanaged, ISimd<TVector>
        {
            int* start = across.Start, pixels = across.Pixel;
            float* weights = across.Weight;
            int vectors = channels / TVector.Count * TVector.Count;
            for (int bin = 0; bin < bins; bin++, from += channels)
                for (int j = start[bin]; j < start[bin + 1]; j++)
                {
                    float* target = to + (long)pixels[j] * channels;
                    float factor = weight * weights[j];
                    var lanes = TVector.Create(factor);
                    int c = 0;
                    for (; c < vectors; c += TVector.Count)
                        TVector.Store(TVector.Fma(lanes, TVector.Load(from + c), TVector.Load(target + c)), target + c);
                    for (; c < channels; c++)
                        target[c] += factor * from[c];
                }
        }
    }
}
