using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Convolution with optional bias and an activation fused into its store. Parameters "weight" (out, k, k, in/groups) and "bias" (out).
/// </summary>
internal sealed class Conv2d : UnaryModule
{
    private readonly Window window;
    private readonly int inChannels, groups;
    private readonly Activation activation;

    /// <param name="padding">Default keeps the size at stride 1: dilation·(kernel − 1)/2.</param>
    /// <param name="init">Default kaiming normal over fan-out.</param>
    /// <param name="biasInit">Default zero.</param>
    public Conv2d(int inChannels, int outChannels, int kernel, int stride = 1, int? padding = null, int dilation = 1, int groups = 1,
        bool bias = true, Activation activation = default, Initializer? init = null, Initializer? biasInit = null)
    {
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
            throw new TensorException($"Conv2d: groups expects a divisor of {inChannels} and {outChannels} channels but is {groups}");
        window = Window.Square(kernel, stride, padding ?? dilation * (kernel - 1) / 2, dilation);
        window.Validate(nameof(Conv2d));
        (this.inChannels, this.groups, this.activation) = (inChannels, groups, activation);
        Weight = AddParameter("weight", new Shape(outChannels, kernel, kernel, inChannels / groups), init ?? Init.KaimingNormalFanOut);
        Bias = bias ? AddParameter("bias", new Shape(outChannels), biasInit ?? Init.Zero) : null;
    }

    public Parameter Weight { get; }

    public Parameter? Bias { get; }

    public override Tensor Forward(Tensor x) => Forward(x, statistics: null);

    /// <param name="statistics">Where the result's mean and variance per channel go, if they are wanted.</param>
    private Tensor Forward(Tensor x, Tensor? statistics)
    {
        Operands.Image(nameof(Conv2d), x, Weight.Name, inChannels);
        Operands.OnDevice(nameof(Conv2d), x, Weight);
        var scope = x.Scope;
        var y = scope.Rent(Operands.Windowed(nameof(Conv2d), x, window, Weight.Shape[0]), nameof(Conv2d), requiresGradient: true);
        var kernel = new Conv2dForward(x.View, Weight.Value, Bias?.Value ?? default, y.View, window, groups, activation);
        var channels = new Shape(Weight.Shape[0]);
        if (statistics is null)
            scope.Device.Run(kernel);
        else
            scope.Device.Run(new Conv2dMoments(kernel, statistics.View.Slice(0, channels), statistics.View.Slice(channels.Length, channels)));
        if (scope.Differentiable)
            scope.Record(new ConvNode(this, x, y));
        return y;
    }

    /// <summary>
    /// act(norm(convolution) (+ residual)). In training the convolution measures for the norm. One pass, with the norm's factors in the weights, where its statistics are fixed and nothing has to be kept for a
    /// backward pass; else one after the other.
    /// </summary>
    public Tensor Forward(Tensor x, BatchNorm2d norm, Activation then = default, Tensor? residual = null)
    {
        var scope = x.Scope;
        bool plain = Bias is null && activation.Kind == ActivationKind.None;
        if (norm.IsTraining && plain && !scope.Repeats)
        {
            var statistics = scope.Rent(new Shape(BatchNormPart.Length(Weight.Shape[0])), nameof(BatchNorm2d));
            return norm.Forward(Forward(x, statistics), then, residual, consume: true, statistics);
        }
        if (scope.Differentiable || norm.IsTraining || !plain)
            return norm.Forward(Forward(x), then, residual, consume: true);
        Operands.Image(nameof(Conv2d), x, Weight.Name, inChannels);
        Operands.OnDevice(nameof(Conv2d), x, Weight);
        var y = scope.Rent(Operands.Windowed(nameof(Conv2d), x, window, Weight.Shape[0]), nameof(Conv2d));
        if (residual is not null)
        {
            Operands.Value(nameof(Conv2d), "residual", residual);
            Operands.SameShape(nameof(Conv2d), "y", y, "residual", residual);
        }
        var (scale, shift) = norm.Affine(scope);
        scope.Device.Run(new Conv2dForward(x.View, Weight.Value, shift.View, y.View, window, groups, then, scale.View, residual?.View ?? default));
        return y;
    }

    private sealed class ConvNode(Conv2d layer, Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(Conv2d);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(x)
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias?.Value ?? default,
            ["window"] = layer.window,
            ["groups"] = layer.groups,
            ["activation"] = layer.activation,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            // The gradient is this node's own, so the activation's derivative goes into it in place.
            if (layer.activation.Kind != ActivationKind.None)
                device.Run(new ActivationBackward(Output.View, gradient, gradient, layer.activation, Accumulate: false));
            if (layer.Bias is { } bias)
            {
                var (gradBias, addBias) = sink.For(bias);
                device.Run(new ChannelSum(gradient, gradBias, addBias));
            }
            var (gradWeight, addWeight) = sink.For(layer.Weight);
            device.Run(new Conv2dWeightGradient(x.View, gradient, gradWeight, layer.window, layer.groups, addWeight));
            if (!sink.Wants(x))
                return;
            var (gradX, addX) = sink.For(x);
            device.Run(new Conv2dInputGradient(gradient, layer.Weight.Value, gradX, layer.window, layer.groups, addX));
        }
    }
}
