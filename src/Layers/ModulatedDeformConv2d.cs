using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Modulated deformable convolution (DCNv2) with its side convolution: child "conv_offset_mask", same window, zero-initialised,
/// makes 3·offsetGroups·k² channels of the input; the first two thirds are the offsets (Δy, Δx interleaved per tap), the sigmoid of
/// the last third is the mask. At birth it is therefore half an ordinary convolution. Parameters "weight" (out, k, k, in/groups), "bias".
/// </summary>
internal sealed class ModulatedDeformConv2d : UnaryModule
{
    private readonly Window window;
    private readonly int inChannels, groups, offsetGroups;
    private readonly Conv2d side;

    /// <param name="padding">Default keeps the size at stride 1.</param>
    public ModulatedDeformConv2d(int inChannels, int outChannels, int kernel, int stride = 1, int? padding = null, int dilation = 1,
        int groups = 1, int offsetGroups = 1, bool bias = true)
    {
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
            throw new TensorException($"ModulatedDeformConv2d: groups expects a divisor of {inChannels} and {outChannels} channels but is {groups}");
        if (offsetGroups < 1 || inChannels % offsetGroups != 0)
            throw new TensorException($"ModulatedDeformConv2d: offset groups expect a divisor of {inChannels} channels but are {offsetGroups}");
        int pad = padding ?? dilation * (kernel - 1) / 2;
        window = Window.Square(kernel, stride, pad, dilation);
        (this.inChannels, this.groups, this.offsetGroups) = (inChannels, groups, offsetGroups);
        Weight = AddParameter("weight", new Shape(outChannels, kernel, kernel, inChannels / groups), Init.UniformFanIn);
        Bias = bias ? AddParameter("bias", new Shape(outChannels), Init.Zero) : null;
        side = Add("conv_offset_mask",
            new Conv2d(inChannels, 3 * offsetGroups * kernel * kernel, kernel, stride, pad, dilation, init: Init.Zero));
    }

    public Parameter Weight { get; }

    public Parameter? Bias { get; }

    public override Tensor Forward(Tensor x)
    {
        Operands.Image(nameof(ModulatedDeformConv2d), x, Weight.Name, inChannels);
        var made = side.Forward(x);
        var scope = x.Scope;
        var device = scope.Device;
        int taps = offsetGroups * window.Area;
        var y = scope.Rent(Operands.Windowed(nameof(ModulatedDeformConv2d), x, window, Weight.Shape[0]), nameof(ModulatedDeformConv2d), requiresGradient: true);
        var offset = scope.Rent(WithChannels(y.Shape, 2 * taps), nameof(ModulatedDeformConv2d));
        var mask = scope.Rent(WithChannels(y.Shape, taps), nameof(ModulatedDeformConv2d));
        device.Run(new CopyChannels(made.View, offset.View, 0, 0, 2 * taps, Accumulate: false));
        device.Run(new CopyChannels(made.View, mask.View, 2 * taps, 0, taps, Accumulate: false));
        device.Run(new SigmoidForward(mask.View, mask.View));
        device.Run(new DeformConv2dForward(x.View, offset.View, mask.View, Weight.Value, Bias?.Value ?? default, y.View, window, groups, offsetGroups));
        var node = new DeformNode(this, x, made, offset, mask, y);
        node.Save(offset);
        node.Save(mask);
        scope.Record(node);
        return y;
    }

    private static Shape WithChannels(Shape image, int channels) => new(image[0], image[1], image[2], channels);

    private sealed class DeformNode(ModulatedDeformConv2d layer, Tensor x, Tensor made, Tensor offset, Tensor mask, Tensor y) : Node(y)
    {
        public override string Name => nameof(ModulatedDeformConv2d);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(x, made)
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias?.Value ?? default,
            ["window"] = layer.window,
            ["groups"] = layer.groups,
            ["offsetGroups"] = layer.offsetGroups,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            var (window, groups, offsetGroups) = (layer.window, layer.groups, layer.offsetGroups);
            if (layer.Bias is { } bias)
            {
                var (gradBias, addBias) = sink.For(bias);
                device.Run(new ChannelSum(gradient, gradBias, addBias));
            }
            var (gradWeight, addWeight) = sink.For(layer.Weight);
            device.Run(new DeformConv2dWeightGradient(x.View, offset.View, mask.View, gradient, gradWeight, window, groups, offsetGroups, addWeight));

            var gradX = sink.Wants(x) ? sink.For(x) : default;
            Tensor gradOffset = sink.Rent(offset.Shape, Name), gradMask = sink.Rent(mask.Shape, Name);
            device.Run(new DeformConv2dInputGradient(x.View, offset.View, mask.View, layer.Weight.Value, gradient, gradX.View, gradOffset.View, gradMask.View,
                window, groups, offsetGroups, AccumulateX: gradX.Accumulate));
            device.Run(new SigmoidBackward(mask.View, gradMask.View, gradMask.View, Accumulate: false));
            var (gradMade, addMade) = sink.For(made);
            device.Run(new CopyChannels(gradOffset.View, gradMade, 0, 0, offset.Shape[3], addMade));
            device.Run(new CopyChannels(gradMask.View, gradMade, 0, offset.Shape[3], mask.Shape[3], addMade));
            sink.Return(gradOffset);
            sink.Return(gradMask);
        }
    }
}
