namespace CudaKernels.Kernels;

/// <summary>Convolution as its formula says, in plain loops.</summary>
internal static unsafe class Conv2dPlain
{
    public static void Forward(Conv2dShapes z, float* x, float* weight, float* bias, float* y, Activation activation)
    {
        var w = z.Window;
        for (long o = 0; o < z.Outputs; o++)
            for (int k = 0; k < z.OutChannels; k++)
            {
                float sum = bias == null ? 0 : bias[k];
                for (int t = 0; t < w.Area; t++)
                    if (Source(z, o, t, out long pixel))
                        for (int c = 0; c < z.GroupIn; c++)
                            sum += x[pixel * z.InChannels + k / z.GroupOut * z.GroupIn + c] * weight[((long)k * w.Area + t) * z.GroupIn + c];
                y[o * z.OutChannels + k] = Activation.Apply(sum, activation.Factor);
            }
    }

    public static void InputGradient(Conv2dShapes z, float* gradY, float* weight, float* gradX, float* bias, bool accumulate)
    {
        var w = z.Window;
        long pixels = (long)z.Batch * z.Height * z.Width;
        for (long i = 0; i < pixels * z.InChannels; i++)
            gradX[i] = (accumulate ? gradX[i] : 0) + (bias == null ? 0 : bias[i % z.InChannels]);
        for (long o = 0; o < z.Outputs; o++)
            for (int k = 0; k < z.OutChannels; k++)
                for (int t = 0; t < w.Area; t++)
                    if (Source(z, o, t, out long pixel))
                        for (int c = 0; c < z.GroupIn; c++)
                            gradX[pixel * z.InChannels + k / z.GroupOut * z.GroupIn + c] += gradY[o * z.OutChannels + k] * weight[((long)k * w.Area + t) * z.GroupIn + c];
    }

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
