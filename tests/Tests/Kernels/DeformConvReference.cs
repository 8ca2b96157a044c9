using CudaKernels.Kernels;

namespace CudaKernels.Tests;

/// <summary>
/// Modulated deformable convolution in double precision, written straight from the formula with scalar loops: the oracle of
/// <see cref="DeformConvTests"/>. Arrays are laid out as the kernels' views.
/// </summary>
internal sealed record DeformConvReference(int Batch, int Height, int Width, int In, int Out, Window Window, int Groups, int OffsetGroups, bool HasMask)
{
    public int OutHeight => Window.OutHeight(Height);

    public int OutWidth => Window.OutWidth(Width);

    public int Samples => OffsetGroups * Window.Area;

    public int Pixels => Batch * OutHeight * OutWidth;

    /// <summary>x(y, x) of one channel: bilinear, zero outside.</summary>
    public double Sample(double[] x, int image, int channel, double row, double column)
    {
        if (row <= -1 || row >= Height || column <= -1 || column >= Width)
            return 0;
        int top = (int)Math.Floor(row), left = (int)Math.Floor(column);
        double sum = 0;
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                if (top + i >= 0 && top + i < Height && left + j >= 0 && left + j < Width)
                    sum += (i == 0 ? 1 - (row - top) : row - top) * (j == 0 ? 1 - (column - left) : column - left)
                        * x[((image * Height + top + i) * Width + left + j) * In + channel];
        return sum;
    }

    /// <summary>Gradients of Σ gradY · y by the chain rule, one term of the sum at a time.</summary>
    public (double[] X, double[] Offset, double[] Mask, double[] Weight) Gradients(double[] x, double[] offset, double[] mask, double[] weight, double[] gradY)
    {
        double[] gradX = new double[x.Length], gradOffset = new double[offset.Length], gradMask = new double[HasMask ? mask.Length : 0], gradWeight = new double[weight.Length];
        int groupIn = In / Groups, groupOut = Out / Groups, perOffsetGroup = In / OffsetGroups;
        for (int pixel = 0; pixel < Pixels; pixel++)
            for (int channel = 0; channel < In; channel++)
                for (int tap = 0; tap < Window.Area; tap++)
                {
                    int image = pixel / (OutHeight * OutWidth), sample = channel / perOffsetGroup * Window.Area + tap;
                    var (row, column) = Position(pixel, sample, offset);
                    double modulation = HasMask ? mask[pixel * Samples + sample] : 1, value = Sample(x, image, channel, row, column), gradient = 0;
                    for (int k = channel / groupIn * groupOut; k < (channel / groupIn + 1) * groupOut; k++)
                    {
                        int at = (k * Window.Area + tap) * groupIn + channel % groupIn;
                        gradient += gradY[pixel * Out + k] * weight[at];
                        gradWeight[at] += gradY[pixel * Out + k] * modulation * value;
                    }
                    if (HasMask)
                        gradMask[pixel * Samples + sample] += gradient * value;
                    if (row < -1 || row >= Height || column < -1 || column >= Width)
                        continue;
                    int top = (int)Math.Floor(row), left = (int)Math.Floor(column);
                    for (int i = 0; i < 2; i++)
                        for (int j = 0; j < 2; j++)
                        {
                            if (top + i < 0 || top + i >= Height || left + j < 0 || left + j >= Width)
                                continue;
                            int at = ((image * Height + top + i) * Width + left + j) * In + channel;
                            double vertical = i == 0 ? 1 - (row - top) : row - top, horizontal = j == 0 ? 1 - (column - left) : column - left;
                            gradX[at] += gradient * modulation * vertical * horizontal;
                            gradOffset[pixel * 2 * Samples + 2 * sample] += gradient * modulation * (i == 0 ? -1 : 1) * horizontal * x[at];
                            gradOffset[pixel * 2 * Samples + 2 * sample + 1] += gradient * modulation * (j == 0 ? -1 : 1) * vertical * x[at];
                        }
                }
        return (gradX, gradOffset, gradMask, gradWeight);
    }

    public double[] Forward(double[] x, double[] offset, double[] mask, double[] weight, double[] bias)
    {
        var y = new double[Pixels * Out];
        int groupIn = In / Groups, groupOut = Out / Groups, perOffsetGroup = In / OffsetGroups;
        for (int pixel = 0; pixel < Pixels; pixel++)
        {
            int image = pixel / (OutHeight * OutWidth);
            for (int k = 0; k < Out; k++)
                y[pixel * Out + k] = bias[k];
            for (int channel = 0; channel < In; channel++)
                for (int tap = 0; tap < Window.Area; tap++)
                {
                    int sample = channel / perOffsetGroup * Window.Area + tap;
                    var (row, column) = Position(pixel, sample, offset);
                    double value = (HasMask ? mask[pixel * Samples + sample] : 1) * Sample(x, image, channel, row, column);
                    for (int k = channel / groupIn * groupOut; k < (channel / groupIn + 1) * groupOut; k++)
                        y[pixel * Out + k] += value * weight[(k * Window.Area + tap) * groupIn + channel % groupIn];
                }
        }
        return y;
    }

    /// <summary>Where an output pixel reads its sample (offset group · taps + tap).</summary>
    private (double Row, double Column) Position(int pixel, int sample, double[] offset)
    {
        int p = pixel / OutWidth % OutHeight, q = pixel % OutWidth, tap = sample % Window.Area, at = 2 * (pixel * Samples + sample);
        return (p * Window.StrideY - Window.PadY + tap / Window.KernelWidth * Window.DilationY + offset[at],
            q * Window.StrideX - Window.PadX + tap % Window.KernelWidth * Window.DilationX + offset[at + 1]);
    }
}
