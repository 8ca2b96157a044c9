namespace CudaKernels.Detection;

/// <summary>The operations of <see cref="OnnxRunner"/> that look at neighbouring pixels of (N,C,H,W).</summary>
internal static class OnnxWindowRunner
{
    /// <summary>Size, step, padding on both sides and dilation of a window, from a node's attributes.</summary>
    private readonly record struct Geometry(int KernelY, int KernelX, int StrideY, int StrideX, int PadY, int PadX, int DilationY, int DilationX)
    {
        public static Geometry Of(OnnxNode node)
        {
            long[] kernel = node.Get<long[]>("kernel_shape"), strides = node.Get<long[]>("strides"), pads = node.Get<long[]>("pads"), dilations = node.Get<long[]>("dilations");
            if (pads[0] != pads[2] || pads[1] != pads[3])
                throw new DataException($"ONNX node {node.Name}: pads of different size on two sides are not known here");
            return new((int)kernel[0], (int)kernel[1], (int)strides[0], (int)strides[1], (int)pads[0], (int)pads[1], (int)dilations[0], (int)dilations[1]);
        }

        public int OutY(int height) => (height + 2 * PadY - DilationY * (KernelY - 1) - 1) / StrideY + 1;

        public int OutX(int width) => (width + 2 * PadX - DilationX * (KernelX - 1) - 1) / StrideX + 1;
    }

    /// <summary>One number of a picture at a place that may lie outside of it or between its pixels.</summary>
    private delegate double Sample(int image, int channel, int outY, int outX, int tapY, int tapX);

    public static OnnxTensor Conv(OnnxNode node, OnnxTensor x, OnnxTensor weight, OnnxTensor? bias)
    {
        var g = Geometry.Of(node);
        return Sum(node, g, x, weight, bias, g.OutY(x.Shape[2]), g.OutX(x.Shape[3]), (n, c, oy, ox, r, s) =>
            At(x, n, c, oy * g.StrideY - g.PadY + r * g.DilationY, ox * g.StrideX - g.PadX + s * g.DilationX));
    }

    /// <summary>As Conv, but the taps read beside their place by (Δy, Δx), bilinear, and what they read is multiplied by the mask.</summary>
    public static OnnxTensor DeformConv(OnnxNode node, OnnxTensor x, OnnxTensor weight, OnnxTensor offset, OnnxTensor? bias, OnnxTensor mask)
    {
        var g = Geometry.Of(node);
        int taps = g.KernelY * g.KernelX, channelsOfOffset = x.Shape[1] / (int)node.Get<long>("offset_group");
        return Sum(node, g, x, weight, bias, offset.Shape[2], offset.Shape[3], (n, c, oy, ox, r, s) =>
        {
            int tap = c / channelsOfOffset * taps + r * g.KernelX + s;
            double y = oy * g.StrideY - g.PadY + r * g.DilationY + At(offset, n, 2 * tap, oy, ox);
            double place = ox * g.StrideX - g.PadX + s * g.DilationX + At(offset, n, 2 * tap + 1, oy, ox);
            return At(mask, n, tap, oy, ox) * Bilinear(x, n, c, y, place);
        });
    }

    /// <summary>Every input pixel adds its multiple of the kernel to the output.</summary>
    public static OnnxTensor ConvTranspose(OnnxNode node, OnnxTensor x, OnnxTensor weight, OnnxTensor? bias)
    {
        var g = Geometry.Of(node);
        long[] outputPadding = node.Get<long[]>("output_padding");
        int groups = (int)node.Get<long>("group"), inChannels = x.Shape[1], groupIn = inChannels / groups, groupOut = weight.Shape[1];
        int height = (x.Shape[2] - 1) * g.StrideY - 2 * g.PadY + g.DilationY * (g.KernelY - 1) + (int)outputPadding[0] + 1;
        int width = (x.Shape[3] - 1) * g.StrideX - 2 * g.PadX + g.DilationX * (g.KernelX - 1) + (int)outputPadding[1] + 1;
        int outChannels = groups * groupOut;
        var sums = new double[x.Shape[0] * outChannels * height * width];
        for (int i = 0; i < sums.Length; i++)
            sums[i] = bias?.Floats[i / (height * width) % outChannels] ?? 0;
        for (int n = 0; n < x.Shape[0]; n++)
            for (int c = 0; c < inChannels; c++)
                for (int k = 0; k < groupOut; k++)
                    for (int iy = 0; iy < x.Shape[2]; iy++)
                        for (int ix = 0; ix < x.Shape[3]; ix++)
                            for (int r = 0; r < g.KernelY; r++)
                                for (int s = 0; s < g.KernelX; s++)
                                {
                                    int oy = iy * g.StrideY - g.PadY + r * g.DilationY, ox = ix * g.StrideX - g.PadX + s * g.DilationX;
                                    if (oy >= 0 && oy < height && ox >= 0 && ox < width)
                                        sums[((n * outChannels + c / groupIn * groupOut + k) * height + oy) * width + ox] +=
                                            At(x, n, c, iy, ix) * At(weight, c, k, r, s);
                                }
        return new([x.Shape[0], outChannels, height, width], Array.ConvertAll(sums, sum => (float)sum));
    }

    public static OnnxTensor MaxPool(OnnxNode node, OnnxTensor x)
    {
        var g = Geometry.Of(node);
        int up = node.Get<long>("ceil_mode") == 1 ? 1 : 0;
        int height = g.OutY(x.Shape[2] + up * (g.StrideY - 1)), width = g.OutX(x.Shape[3] + up * (g.StrideX - 1));
        int[] shape = [x.Shape[0], x.Shape[1], height, width];
        return Fill(shape, (n, c, oy, ox) =>
        {
            double most = double.NegativeInfinity;
            for (int r = 0; r < g.KernelY; r++)
                for (int s = 0; s < g.KernelX; s++)
                {
                    int y = oy * g.StrideY - g.PadY + r * g.DilationY, place = ox * g.StrideX - g.PadX + s * g.DilationX;
                    if (y >= 0 && y < x.Shape[2] && place >= 0 && place < x.Shape[3])
                        most = Math.Max(most, At(x, n, c, y, place));
                }
            return most;
        });
    }

    public static OnnxTensor Resize(OnnxNode node, OnnxTensor x, float[] scales)
    {
        int height = (int)(x.Shape[2] * scales[2]), width = (int)(x.Shape[3] * scales[3]);
        string mode = node.Get<string>("coordinate_transformation_mode");
        int[] shape = [x.Shape[0], x.Shape[1], height, width];
        return Fill(shape, (n, c, oy, ox) =>
        {
            double y = Source(oy, x.Shape[2], height), place = Source(ox, x.Shape[3], width);
            return node.Get<string>("mode") == "nearest" ? At(x, n, c, (int)y, (int)place) : Bilinear(x, n, c, y, place);
        });

        double Source(int o, int input, int output) => mode switch
        {
            "align_corners" => output == 1 ? 0 : (double)o * (input - 1) / (output - 1),
            "half_pixel" => Math.Clamp((o + 0.5) * input / output - 0.5, 0, input - 1),
            "asymmetric" => (double)o * input / output,
            _ => throw new DataException($"ONNX node {node.Name}: the coordinate transformation {mode} is not known here"),
        };
    }

    /// <summary>What Conv and DeformConv share: bias plus the sum over the group's channels and the taps of weight times sample.</summary>
    private static OnnxTensor Sum(OnnxNode node, Geometry g, OnnxTensor x, OnnxTensor weight, OnnxTensor? bias, int height, int width, Sample sample)
    {
        int outChannels = weight.Shape[0], groupIn = weight.Shape[1], groupOut = outChannels / (int)node.Get<long>("group"), taps = g.KernelY * g.KernelX;
        var samples = new double[x.Shape[1] * taps];
        var y = new float[x.Shape[0] * outChannels * height * width];
        for (int n = 0; n < x.Shape[0]; n++)
            for (int oy = 0; oy < height; oy++)
                for (int ox = 0; ox < width; ox++)
                {
                    for (int i = 0; i < samples.Length; i++)
                        samples[i] = sample(n, i / taps, oy, ox, i % taps / g.KernelX, i % taps % g.KernelX);
                    for (int k = 0; k < outChannels; k++)
                    {
                        var factors = weight.Floats.AsSpan(k * groupIn * taps, groupIn * taps);
                        var values = samples.AsSpan(k / groupOut * groupIn * taps, groupIn * taps);
                        double sum = bias?.Floats[k] ?? 0;
                        for (int i = 0; i < factors.Length; i++)
                            sum += factors[i] * values[i];
                        y[((n * outChannels + k) * height + oy) * width + ox] = (float)sum;
                    }
                }
        return new([x.Shape[0], outChannels, height, width], y);
    }

    private static OnnxTensor Fill(int[] shape, Func<int, int, int, int, double> value)
    {
        var y = new float[shape[0] * shape[1] * shape[2] * shape[3]];
        for (int i = 0; i < y.Length; i++)
            y[i] = (float)value(i / (shape[1] * shape[2] * shape[3]), i / (shape[2] * shape[3]) % shape[1], i / shape[3] % shape[2], i % shape[3]);
        return new(shape, y);
    }

    /// <summary>Between the four pixels around a place; those outside are 0.</summary>
    private static double Bilinear(OnnxTensor x, int image, int channel, double y, double place)
    {
        double top = Math.Floor(y), left = Math.Floor(place), down = y - top, right = place - left;
        if (!(top >= -1 && top < x.Shape[2] && left >= -1 && left < x.Shape[3]))
            return 0;
        int row = (int)top, column = (int)left;
        return (1 - down) * ((1 - right) * At(x, image, channel, row, column) + right * At(x, image, channel, row, column + 1))
            + down * ((1 - right) * At(x, image, channel, row + 1, column) + right * At(x, image, channel, row + 1, column + 1));
    }

    private static double At(OnnxTensor x, int image, int channel, int row, int column)
    {
        int channels = x.Shape[1], height = x.Shape[2], width = x.Shape[3];
        return row < 0 || row >= height || column < 0 || column >= width ? 0 : x.Floats[((image * channels + channel) * height + row) * width + column];
    }
}
