using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// RoIAlign (He et al. 2017): each RoI is cut into bins, y[k,i,j,c] the mean over a bin's grid of samples of x, read bilinearly; the places are
/// those of <see cref="RoiAxis"/>, as torchvision and Detectron2 have them. x (N,H,W,C), rois (K,5): image, x1, y1, x2, y2.
/// <para>
/// On the processor the sum runs over the taps of <see cref="RoiTaps"/>: pixels of a row are vectors of channels, all with one weight. Threads over
/// (RoI, row of bins), lanes over channels.
/// </para>
/// </summary>
internal readonly unsafe partial record struct RoiAlignForward(TensorView X, TensorView Rois, TensorView Y, RoiAlignRule Rule) : IKernel
{
    public Cost Cost => CostOf(Y, Rule);

    /// <summary>Four corners a sample; every corner counted as read, though RoIs may share them. Grids that follow the RoI count as 2x2.</summary>
    public static Cost CostOf(TensorView y, RoiAlignRule rule)
    {
        double reads = 4.0 * y.Length * (rule.SamplingRatio > 0 ? rule.SamplingRatio * rule.SamplingRatio : 4);
        return new(2 * reads, reads * sizeof(float) + y.Bytes);
    }

    public void Validate() => Rule.Validate(nameof(RoiAlignForward), "x", X, Rois, "y", Y);

    public void Run(CpuDevice device)
    {
        var grid = RoiGrid.Of(X.Shape, Y.Shape, Rule);
        using var table = new RoiTable(device, Rois, grid);
        device.For(Y.Shape[0] * grid.BinsDown, new Rows(X.F32, Y.F32, table.Rois), VectorRange.Grain(16L * grid.BinsAcross * grid.Channels));
    }

    private readonly struct Rows(float* x, float* y, RoiTable.View rois) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            var grid = rois.Grid;
            int channels = grid.Channels, quads = channels / Quad<TVector>.Count * Quad<TVector>.Count, vectors = channels / TVector.Count * TVector.Count;
            for (int task = start; task < end; task++)
            {
                int roi = task / grid.BinsDown, row = task - roi * grid.BinsDown;
                float share = rois.Places[roi].Share;
                float* image = x + (long)Math.Max(0, rois.Places[roi].Image) * grid.Height * grid.Width * channels;
                float* to = y + (long)task * grid.BinsAcross * channels;
                RoiTaps down = rois.Rows(roi), across = rois.Columns(roi);
                for (int column = 0; column < grid.BinsAcross; column++, to += channels)
                {
                    var bin = new Bin(image, grid.Width * channels, channels, down, row, across, column, share);
                    Pixel<Quad<TVector>>(bin, to, 0, quads);
                    Pixel<TVector>(bin, to, quads, vectors);
                    Pixel<F32x1>(bin, to, vectors, channels);
                }
            }
        }

        [MethodImpl(HotLoop.Options)]
        private static void Pixel<TVector>(in Bin bin, float* to, int first, int last) where TVector : unmanaged, ISimd<TVector>
        {
            if (first == last)
                return;
            int* rows = bin.RowPixels, columns = bin.ColumnPixels;
            float* rowWeights = bin.RowWeights, columnWeights = bin.ColumnWeights, image = bin.Image;
            int rowCount = bin.RowCount, columnCount = bin.ColumnCount, channels = bin.Channels;
            long rowLength = bin.RowLength;
            var share = TVector.Create(bin.Share);
            for (int c = first; c < last; c += TVector.Count)
            {
                var sum = TVector.Zero;
                for (int i = 0; i < rowCount; i++)
                {
                    float* line = image + rows[i] * rowLength + c;
                    float weight = rowWeights[i];
                    for (int j = 0; j < columnCount; j++)
                        TVector.AddProduct(ref sum, TVector.Create(weight * columnWeights[j]), TVector.Load(line + (long)columns[j] * channels));
                }
                TVector.Store(sum * share, to + c);
            }
        }
    }

    /// <summary>One bin: its rows and columns of taps.</summary>
    private readonly struct Bin(float* image, long rowLength, int channels, RoiTaps down, int row, RoiTaps across, int column, float share)
    {
        public readonly float* Image = image, RowWeights = down.Weight + down.Start[row], ColumnWeights = across.Weight + across.Start[column];
        public readonly int* RowPixels = down.Pixel + down.Start[row], ColumnPixels = across.Pixel + across.Start[column];
        public readonly int RowCount = down.Start[row + 1] - down.Start[row], ColumnCount = across.Start[column + 1] - across.Start[column];
        public readonly int Channels = channels;
        public readonly long RowLength = rowLength;
        public readonly float Share = share;
    }
}
