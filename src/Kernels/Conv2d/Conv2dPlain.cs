namespace CudaKernels.Kernels;

/// <summary>Convolution as its formula says, in plain loops.</summary>
internal static unsafe class Conv2dPlain
{
    public static void WeightGradient(Conv2dShapes z, float* x, float* gradY, float* gradWeight, bool accumulate)
    {
        var w = z.Window;
        if (!accumulate)
            new Span<float>(gradWeight, z.OutChannels * w.Area * z.GroupIn).Clear();
        for (long o = 0; o < z.Outputs; o++)
            for (int k = 0; k < z.OutChannels; k++)
                for (int t = 0; t < w.Area; t++)
                    if (Source(z, o, t, out long pixel))
                        for (int c = 0; c < z.GroupIn; c++)
                            gradWeight[((long)k * w.Area + t) * z.GroupIn + c] += gradY[o * z.OutChannels + k] * x[pixel * z.InChannels + k / z.GroupOut * z.GroupIn + c];
    }

    private static bool Source(Conv2dShapes z, long output, int tap, out long pixel)
    {
        var w = z.Window;
        long image = output / (z.OutHeight * z.OutWidth);
        int p = (int)(output % (z.OutHeight * z.OutWidth)) / z.OutWidth, q = (int)(output % z.OutWidth);
        int i = p * w.StrideY - w.PadY + tap / w.KernelWidth * w.DilationY, j = q * w.StrideX - w.PadX + tap % w.KernelWidth * w.DilationX;
        pixel = (image * z.Height + i) * z.Width + j;
        return (uint)i < (uint)z.Height && (uint)j < (uint)z.Width;
    }
}
