using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Group norm, y = act(γ(x − μ)/√(σ² + ε) + β), with μ and σ² of each image and each group of C/G neighbouring channels; the activation is
/// fused into its store. The same in training and inference, whatever the batch. Parameters "weight" (γ) and "bias" (β).
/// </summary>
internal sealed class GroupNorm : Module
{
    private readonly int groups;
    private readonly float epsilon;

    public GroupNorm(int groups, int channels, float epsilon = 1e-5f)
    {
        if (groups < 1 || channels % groups != 0)
            throw new TensorException($"GroupNorm: groups expects a divisor of {channels} channels but is {groups}");
        (this.groups, this.epsilon) = (groups, epsilon);
        Weight = AddParameter("weight", new Shape(channels), Init.One);
        Bias = AddParameter("bias", new Shape(channels), Init.Zero);
    }

    public Parameter Weight { get; }

    public Parameter Bias { get; }

    /// <param name="x">(N,H,W,C).</param>
    public Tensor Forward(Tensor x, Activation activation = default)
    {
        Operands.Image(nameof(GroupNorm), x, Weight.Name, Weight.Shape[0]);
        Operands.OnDevice(nameof(GroupNorm), x, Weight);
        var scope = x.Scope;
        var y = scope.Rent(x.Shape, nameof(GroupNorm), requiresGradient: true);
        Tensor mean = scope.Rent(new Shape(x.Shape[0], groups), nameof(GroupNorm)), variance = scope.Rent(mean.Shape, nameof(GroupNorm));
        scope.Device.Run(new GroupNormForward(x.View, Weight.Value, Bias.Value, y.View, mean.View, variance.View, epsilon, activation));
        var node = new NormNode(this, x, y, mean, variance, activation);
        node.Save(mean);
        node.Save(variance);
        scope.Record(node);
        return y;
    }

    private sealed class NormNode(GroupNorm layer, Tensor x, Tensor y, Tensor mean, Tensor variance, Activation activation) : Node(y)
    {
        public override string Name => nameof(GroupNorm);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(x)
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias.Value,
            ["groups"] = layer.groups,
            ["epsilon"] = layer.epsilon,
            ["activation"] = activation,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            var shape = new Shape(x.Shape[0], x.Shape.Channels);
            Tensor sum = sink.Rent(shape, Name), centred = sink.Rent(shape, Name);
            // Pointwise in the gradient, once the sums are known: its memory can become the result's.
            bool give = sink.Wants(x) && sink.CanGive(x);
            var gradX = give ? new GradientTarget(gradient, false) : sink.Wants(x) ? sink.For(x) : default;
            device.Run(new GroupNormGradient(x.View, Output.View, gradient, mean.View, variance.View, layer.Weight.Value, sum.View, centred.View,
                gradX.View, layer.epsilon, activation, gradX.Accumulate));
            var (gradWeight, add) = sink.For(layer.Weight);
            var (gradBias, _) = sink.For(layer.Bias);
            device.Run(new GroupNormParameterGradient(sum.View, centred.View, variance.View, gradWeight, gradBias, layer.epsilon, add));
            if (give)
                sink.Give(x);
            sink.Return(sum);
            sink.Return(centred);
        }
    }
}
