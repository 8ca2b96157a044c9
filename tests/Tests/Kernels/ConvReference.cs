using CudaKernels.Kernels;

namespace CudaKernels.Tests;

/// <summary>Convolution and its two gradients as the formula says, in double precision: the oracle for sizes without a golden file.</summary>
internal sealed class ConvReference(int batch, int height, int width, int inChannels, int outChannels, int groups, Window window)
{
    private readonly int outHeight = window.OutHeight(height), outWidth = window.OutWidth(width);
    private readonly int groupIn = inChannels / groups, groupOut = outChannels / groups;

    public double[] Forward(float[] x, float[] weight)
    {
        var y = new double[batch * outHeight * outWidth * outChannels];
        ForEach((xIndex, weightIndex, yIndex) => y[yIndex] += (double)x[xIndex] * weight[weightIndex]);
        return y;
    }

    public double[] InputGradient(float[] gradY, float[] weight)
    {
        var gradX = new double[batch * height * width * inChannels];
        ForEach((xIndex, weightIndex, yIndex) => gradX[xIndex] += (double)gradY[yIndex] * weight[weightIndex]);
        return gradX;
    }

    public double[] WeightGradient(float[] x, float[] gradY)
    {
        var gradWeight = new double[outChannels * window.Area * groupIn];
        ForEach((xIndex, weightIndex, yIndex) => gradWeight[weightIndex] += (double)gradY[yIndex] * x[xIndex]);
        return gradWeight;
    }

    /// <summary>Calls with the indices of every product in the formula.</summary>
    private void ForEach(Action<int, int, int> product)
    {
        for (int pixel = 0; pixel < batch * outHeight * outWidth; pixel++)
            for (int tap = 0; tap < window.Area; tap++)
            {
                int image = pixel / (outHeight * outWidth);
                int y = pixel / outWidth % outHeight * window.StrideY - window.PadY + tap / window.KernelWidth * window.DilationY;
                int x = pixel % outWidth * window.StrideX - window.PadX + tap % window.KernelWidth * window.DilationX;
                if (y < 0 || y >= height || x < 0 || x >= width)
                    continue;
                for (int k = 0; k < outChannels; k++)
                    for (int c = 0; c < groupIn; c++)
                        product(((image * height + y) * width + x) * inChannels + k / groupOut * groupIn + c,
                            (k * window.Area + tap) * groupIn + c, pixel * outChannels + k);
            }
    }
}
