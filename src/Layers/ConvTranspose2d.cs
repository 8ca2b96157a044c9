using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Transposed convolution: the input gradient of a convolution used forward, so its own gradients are that convolution and its
/// weight gradient. Parameters "weight" (in, k, k, out/groups) and "bias" (out).
/// Output side: (size − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1.
/// </summary>
internal sealed class ConvTranspose2d : UnaryModule
{
    private readonly Window window;
    private readonly int inChannels, outChannels, groups, outputPadding;

    public ConvTranspose2d(int inChannels, int outChannels, int kernel, int stride = 1, int padding = 0, int outputPadding = 0,
        int dilation = 1, int groups = 1, bool bias = true, Initializer? init = null)
    {
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
            throw new TensorException($"ConvTranspose2d: groups expects a divisor of {inChannels} and {outChannels} channels but is {groups}");
        if (outputPadding < 0 || outputPadding >= stride)
            throw new TensorException($"ConvTranspose2d: output padding expects 0 to {stride - 1}, less than the stride, but is {outputPadding}");
        window = Window.Square(kernel, stride, padding, dilation);
        window.Validate(nameof(ConvTranspose2d));
        (this.inChannels, this.outChannels, this.groups, this.outputPadding) = (inChannels, outChannels, groups, outputPadding);
        Weight = AddParameter("weight", new Shape(inChannels, kernel, kernel, outChannels / groups), init ?? Init.UniformFanIn);
        Bias = bias ? AddParameter("bias", new Shape(outChannels), Init.Zero) : null;
    }

    public Parameter Weight { get; }

    public Parameter? Bias { get; }

    public override Tensor Forward(Tensor x)
    {
        Operands.Image(nameof(ConvTranspose2d), x, Weight.Name, inChannels);
        Operands.OnDevice(nameof(ConvTranspose2d), x, Weight);
        int height = Side(x.Shape[1]), width = Side(x.Shape[2]);
        if (height < 1 || width < 1)
            throw new TensorException($"ConvTranspose2d: padding leaves nothing of x {x} (window {window})");
        var scope = x.Scope;
        var y = scope.Rent(new Shape(x.Shape[0], height, width, outChannels), nameof(ConvTranspose2d), requiresGradient: true);
        scope.Device.Run(new Conv2dInputGradient(x.View, Weight.Value, y.View, window, groups, Accumulate: false, Bias?.Value ?? default));
        if (scope.Differentiable)
            scope.Record(new TransposeNode(this, x, y));
        return y;
    }

    private int Side(int size) =>
        (size - 1) * window.StrideY - 2 * window.PadY + window.DilationY * (window.KernelHeight - 1) + outputPadding + 1;

    private sealed class TransposeNode(ConvTranspose2d layer, Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(ConvTranspose2d);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(x)
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias?.Value ?? default,
            ["window"] = layer.window,
            ["groups"] = layer.groups,
            ["outputPadding"] = layer.outputPadding,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            if (layer.Bias is { } bias)
            {
                var (gradBias, addBias) = sink.For(bias);
                device.Run(new ChannelSum(gradient, gradBias, addBias));
            }
            var (gradWeight, addWeight) = sink.For(layer.Weight);
            device.Run(new Conv2dWeightGradient(gradient, x.View, gradWeight, layer.window, layer.groups, addWeight));
            if (!sink.Wants(x))
                return;
            // A convolution cannot add to its output, so a second reader of x goes through a block of its own.
            var block = sink.Rent(x.Shape, Name);
            device.Run(new Conv2dForward(gradient, layer.Weight.Value, default, block.View, layer.window, layer.groups));
            sink.Give(x, block);
        }
    }
}
