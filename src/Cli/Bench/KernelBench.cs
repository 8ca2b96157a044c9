using CudaKernels.Kernels;

namespace CudaKernels.Cli;

/// <summary>Cases that are one kernel, or a layer's kernels in training order. Each method returns the work to time.</summary>
internal static class KernelBench
{
    public static Action ConvForward(BenchCase c, BenchTensors t)
    {
        var (x, weight, y, window) = Convolution(c, t);
        return () => t.Device.Run(new Conv2dForward(x, weight, default, y, window));
    }

    public static Action ConvBackward(BenchCase c, BenchTensors t)
    {
        var weights = ConvBackwardWeight(c, t);
        var (x, weight, gradY, window) = Convolution(c, t);
        var gradX = t.Empty(x.Shape.ToArray());
        return () =>
        {
            t.Device.Run(new Conv2dInputGradient(gradY, weight, gradX, window));
            weights();
        };
    }

    public static Action ConvBackwardWeight(BenchCase c, BenchTensors t)
    {
        var (x, weight, gradY, window) = Convolution(c, t);
        var gradWeight = t.Empty(weight.Shape.ToArray());
        return () => t.Device.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window));
    }

    public static Action BatchNorm(BenchCase c, BenchTensors t) =>
        BatchNorm(t, t.Normal(c["n"], c["h"], c["w"], c["cin"]), Activation.None, t.Empty(c["n"], c["h"], c["w"], c["cin"]));

    public static Action GroupNorm(BenchCase c, BenchTensors t)
    {
        const float epsilon = 1e-5f;
        int[] shape = [c["n"], c["h"], c["w"], c["cin"]];
        int batch = c["n"], channels = c["cin"], groups = c["groups"];
        TensorView x = t.Normal(shape), y = t.Empty(shape), gradY = t.Normal(shape), gradX = t.Empty(shape);
        TensorView gamma = t.Constant(1, channels), beta = t.Constant(0, channels), gradGamma = t.Empty(channels), gradBeta = t.Empty(channels);
        TensorView mean = t.Empty(batch, groups), variance = t.Empty(batch, groups), sum = t.Empty(batch, channels), sumCentred = t.Empty(batch, channels);
        return () =>
        {
            t.Device.Run(new GroupNormForward(x, gamma, beta, y, mean, variance, epsilon, Activation.None));
            t.Device.Run(new GroupNormGradient(x, y, gradY, mean, variance, gamma, sum, sumCentred, gradX, epsilon, Activation.None, false));
            t.Device.Run(new GroupNormParameterGradient(sum, sumCentred, variance, gradGamma, gradBeta, epsilon, false));
        };
    }

    public static Action ConvBatchNormRelu(BenchCase c, BenchTensors t)
    {
        var (x, weight, y, window) = Convolution(c, t);
        var gradY = t.Empty(y.Shape.ToArray());
        var gradX = t.Empty(x.Shape.ToArray());
        var gradWeight = t.Empty(weight.Shape.ToArray());
        var norm = BatchNorm(t, y, Activation.Relu, gradY);
        return () =>
        {
            t.Device.Run(new Conv2dForward(x, weight, default, y, window));
            norm();
            t.Device.Run(new Conv2dInputGradient(gradY, weight, gradX, window));
            t.Device.Run(new Conv2dWeightGradient(x, gradY, gradWeight, window));
        };
    }

    public static Action MaxPool(BenchCase c, BenchTensors t)
    {
        var x = t.Normal(c["n"], c["h"], c["w"], c["cin"]);
        var window = Square(c, c["stride"], c["padding"]);
        int[] shape = [c["n"], window.OutHeight(c["h"]), window.OutWidth(c["w"]), c["cin"]];
        TensorView y = t.Empty(shape), index = t.Indices(shape), gradY = t.Normal(shape), gradX = t.Empty(x.Shape.ToArray());
        return () =>
        {
            t.Device.Run(new MaxPoolForward(x, y, index, window));
            t.Device.Run(new MaxPoolBackward(gradY, index, gradX, window, false));
        };
    }

    public static Action Bilinear(BenchCase c, BenchTensors t)
    {
        var x = t.Normal(c["n"], c["h"], c["w"], c["cin"]);
        int[] shape = [c["n"], c["h"] * c["scale"], c["w"] * c["scale"], c["cin"]];
        TensorView y = t.Empty(shape), gradY = t.Normal(shape), gradX = t.Empty(x.Shape.ToArray());
        return () =>
        {
            t.Device.Run(new BilinearForward(x, y, AlignCorners: false));
            t.Device.Run(new BilinearBackward(gradY, gradX, AlignCorners: false, Accumulate: false));
        };
    }

    public static Action HeatmapFocal(BenchCase c, BenchTensors t)
    {
        int[] shape = [c["n"], c["h"], c["w"], c["cin"]];
        TensorView logits = t.Normal(shape), target = t.Heatmap(shape), loss = t.Empty(1), count = t.Empty(1), grad = t.Empty(shape);
        return () =>
        {
            t.Device.Run(new HeatmapPositives(target, count));
            t.Device.Run(new HeatmapFocalLoss(logits, target, loss, grad, count));
        };
    }

    public static Action SgdStep(BenchCase c, BenchTensors t)
    {
        int length = c["parameters"];
        TensorView value = t.Normal(length), gradient = t.Normal(length), momentum = t.Constant(0, length);
        return () => t.Device.Run(new SgdStep(value, gradient, momentum, LearningRate: 0.01f, Momentum: 0.9f, WeightDecay: 1e-4f));
    }

    public static Action Nms(BenchCase c, BenchTensors t)
    {
        int count = c["boxes"];
        var boxes = t.Fill(new Shape(count, 4), random =>
        {
            var corner = random.At(random.Draw % 2 + random.Draw / 4 * 4);
            float start = (float)corner.Uniform() * 1000;
            return random.Draw % 4 < 2 ? start : start + 10 + (float)random.Uniform() * 90;
        });
        TensorView scores = t.Uniform(count), keep = t.Indices(count), kept = t.Indices(1);
        float threshold = (float)c.Number("iou");
        return () => t.Device.Run(new Nms(boxes, scores, keep, kept, threshold));
    }

    public static Action DeformConv(BenchCase c, BenchTensors t)
    {
        var (x, weight, y, window) = Convolution(c, t);
        int taps = c["kernel"] * c["kernel"], outHeight = y.Shape[1], outWidth = y.Shape[2];
        TensorView offset = t.Normal(c["n"], outHeight, outWidth, 2 * taps), mask = t.Uniform(c["n"], outHeight, outWidth, taps);
        TensorView gradY = t.Normal(y.Shape.ToArray()), gradX = t.Empty(x.Shape.ToArray()), gradWeight = t.Empty(weight.Shape.ToArray());
        TensorView gradOffset = t.Empty(offset.Shape.ToArray()), gradMask = t.Empty(mask.Shape.ToArray());
        return () =>
        {
            t.Device.Run(new DeformConv2dForward(x, offset, mask, weight, default, y, window));
            t.Device.Run(new DeformConv2dInputGradient(x, offset, mask, weight, gradY, gradX, gradOffset, gradMask, window));
            t.Device.Run(new DeformConv2dWeightGradient(x, offset, mask, gradY, gradWeight, window));
        };
    }

    public static Action RoiAlign(BenchCase c, BenchTensors t)
    {
        int count = c["rois"], bins = c["pooled"], batch = c["n"];
        double scale = c.Number("scale");
        var x = t.Normal(batch, c["h"], c["w"], c["cin"]);
        // Corners anywhere in the picture, sides of 4 pixels to three tenths of it and four more, cut off at its border.
        double[] sides = [c["w"] / scale, c["h"] / scale];
        var rois = t.Fill(new Shape(count, 5), random =>
        {
            ulong roi = random.Draw / 5, part = random.Draw % 5;
            if (part == 0)
                return (float)Math.Floor(random.Uniform() * batch);
            double side = sides[(part - 1) % 2], corner = random.At(5 * roi + 1 + (part - 1) % 2).Uniform() * side;
            return (float)(part < 3 ? corner : Math.Min(side, corner + 4 + random.Uniform() * 0.3 * side));
        });
        TensorView y = t.Empty(count, bins, bins, c["cin"]), gradY = t.Normal(y.Shape.ToArray()), gradX = t.Empty(x.Shape.ToArray());
        var rule = new RoiAlignRule((float)scale, c["sampling_ratio"]);
        return () =>
        {
            t.Device.Run(new RoiAlignForward(x, rois, y, rule));
            t.Device.Run(new RoiAlignInputGradient(gradY, rois, gradX, rule, Accumulate: false));
        };
    }

    private static Action BatchNorm(BenchTensors t, TensorView x, Activation activation, TensorView gradX)
    {
        const float epsilon = 1e-5f;
        int channels = x.Shape.Channels;
        TensorView y = t.Empty(x.Shape.ToArray()), gradY = t.Normal(x.Shape.ToArray());
        TensorView mean = t.Empty(channels), variance = t.Empty(channels), runningMean = t.Constant(0, channels), runningVariance = t.Constant(1, channels);
        TensorView gamma = t.Constant(1, channels), beta = t.Constant(0, channels), gradGamma = t.Empty(channels), gradBeta = t.Empty(channels);
        TensorView sum = t.Empty(channels), sumCentred = t.Empty(channels);
        long count = x.Shape.Rows;
        return () =>
        {
            t.Device.Run(new BatchNormStatistics(x, mean, variance));
            t.Device.Run(new BatchNormUpdateRunning(mean, variance, runningMean, runningVariance, count, 0.1f));
            t.Device.Run(new BatchNormApply(x, mean, variance, gamma, beta, default, y, epsilon, activation));
            t.Device.Run(new BatchNormReduceGradient(x, y, gradY, mean, sum, sumCentred, activation));
            t.Device.Run(new BatchNormParameterGradient(sum, sumCentred, variance, gradGamma, gradBeta, epsilon, false));
            t.Device.Run(new BatchNormInputGradient(
                x, y, gradY, mean, variance, gamma, sum, sumCentred, count, gradX, default, epsilon, activation, true, false));
        };
    }

    private static Window Square(BenchCase c, int stride, int padding)
    {
        var window = Window.Square(c["kernel"], stride, padding);
        window.Validate(c.Name);
        return window;
    }

    private static (TensorView X, TensorView Weight, TensorView Y, Window Window) Convolution(BenchCase c, BenchTensors t)
    {
        var window = Square(c, c["stride", 1], c["padding", 0]);
        return (t.Normal(c["n"], c["h"], c["w"], c["cin"]), t.Normal(c["cout"], c["kernel"], c["kernel"], c["cin"]),
            t.Normal(c["n"], window.OutHeight(c["h"]), window.OutWidth(c["w"]), c["cout"]), window);
    }
}
