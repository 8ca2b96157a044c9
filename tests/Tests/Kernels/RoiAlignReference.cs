namespace CudaKernels.Tests;

/// <summary>RoIAlign sample by sample in double, straight from its definition. Layouts are channels last.</summary>
internal sealed class RoiAlignReference(int batch, int height, int width, int channels, int binsDown, int binsAcross, double scale, int ratio, bool aligned)
{
    public double[] Forward(double[] x, float[] rois)
    {
        var y = new double[rois.Length / 5 * binsDown * binsAcross * channels];
        Walk(rois, (bin, pixel, weight) =>
        {
            for (int c = 0; c < channels; c++)
                y[bin * channels + c] += weight * x[pixel * channels + c];
        });
        return y;
    }

    public double[] InputGradient(float[] gradY, float[] rois)
    {
        var gradX = new double[batch * height * width * channels];
        Walk(rois, (bin, pixel, weight) =>
        {
            for (int c = 0; c < channels; c++)
                gradX[pixel * channels + c] += weight * gradY[bin * channels + c];
        });
        return gradX;
    }

    private void Walk(float[] rois, Action<int, int, double> corner)
    {
        double shift = aligned ? 0.5 : 0;
        for (int k = 0; k < rois.Length / 5; k++)
        {
            double left = rois[5 * k + 1] * scale - shift, top = rois[5 * k + 2] * scale - shift;
            double across = rois[5 * k + 3] * scale - shift - left, down = rois[5 * k + 4] * scale - shift - top;
            if (!aligned)
                (across, down) = (Math.Max(1, across), Math.Max(1, down));
            int gridDown = ratio > 0 ? ratio : (int)Math.Ceiling(down / binsDown), gridAcross = ratio > 0 ? ratio : (int)Math.Ceiling(across / binsAcross);
            double count = Math.Max(1, (double)gridDown * gridAcross);
            for (int i = 0; i < binsDown; i++)
                for (int j = 0; j < binsAcross; j++)
                    for (int a = 0; a < gridDown; a++)
                        for (int b = 0; b < gridAcross; b++)
                        {
                            double y = top + (i + (a + 0.5) / gridDown) * down / binsDown, x = left + (j + (b + 0.5) / gridAcross) * across / binsAcross;
                            if (y < -1 || y > height || x < -1 || x > width)
                                continue;
                            var (y0, y1, fy) = Corners(y, height);
                            var (x0, x1, fx) = Corners(x, width);
                            int bin = (k * binsDown + i) * binsAcross + j, image = (int)rois[5 * k] * height;
                            corner(bin, (image + y0) * width + x0, (1 - fy) * (1 - fx) / count);
                            corner(bin, (image + y0) * width + x1, (1 - fy) * fx / count);
                            corner(bin, (image + y1) * width + x0, fy * (1 - fx) / count);
                            corner(bin, (image + y1) * width + x1, fy * fx / count);
                        }
        }
    }

    private static (int Low, int High, double Fraction) Corners(double at, int size)
    {
        at = Math.Max(0, at);
        int low = (int)at;
        return low >= size - 1 ? (size - 1, size - 1, 0) : (low, low + 1, at - low);
    }
}
