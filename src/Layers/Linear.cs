using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>y = x·weightᵀ + bias over the last dimension. Parameters "weight" (out, in) and "bias" (out).</summary>
internal sealed class Linear : UnaryModule
{
    private readonly int inFeatures, outFeatures;
    private readonly Activation activation;

    /// <param name="init">Default U(±1/√in).</param>
    public Linear(int inFeatures, int outFeatures, bool bias = true, Activation activation = default, Initializer? init = null)
    {
        (this.inFeatures, this.outFeatures, this.activation) = (inFeatures, outFeatures, activation);
        Weight = AddParameter("weight", new Shape(outFeatures, inFeatures), init ?? Init.UniformFanIn);
        Bias = bias ? AddParameter("bias", new Shape(outFeatures), Init.Zero) : null;
    }

    public Parameter Weight { get; }

    public Parameter? Bias { get; }

    /// <param name="x">(rows, in).</param>
    public override Tensor Forward(Tensor x)
    {
        Operands.Value(nameof(Linear), "x", x);
        if (x.Shape.Rank != 2 || x.Shape[1] != inFeatures)
            throw new TensorException($"Linear: {Weight.Name} expects x f32[rows,{inFeatures}] but x is {x}");
        Operands.OnDevice(nameof(Linear), x, Weight);
        var scope = x.Scope;
        var y = scope.Rent(new Shape(x.Shape[0], outFeatures), nameof(Linear), requiresGradient: true);
        scope.Device.Run(new LinearForward(x.View, Weight.Value, Bias?.Value ?? default, y.View, activation));
        if (scope.Differentiable)
            scope.Record(new LinearNode(this, x, y));
        return y;
    }

    private sealed class LinearNode(Linear layer, Tensor x, Tensor y) : Node(y)
    {
        public override string Name => nameof(Linear);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(x)
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias?.Value ?? default,
            ["activation"] = layer.activation,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            int rows = x.Shape[0], inputs = layer.inFeatures, outputs = layer.outFeatures;
            if (layer.activation.Kind != ActivationKind.None)
                device.Run(new ActivationBackward(Output.View, gradient, gradient, layer.activation, Accumulate: false));
            if (layer.Bias is { } bias)
            {
                var (gradBias, addBias) = sink.For(bias);
                device.Run(new ChannelSum(gradient, gradBias, addBias));
            }
            var (gradWeight, addWeight) = sink.For(layer.Weight);
            device.Run(new Gemm(gradient, x.View, gradWeight, outputs, inputs, rows, TransposeA: true, Accumulate: addWeight));
            if (!sink.Wants(x))
                return;
            var (gradX, addX) = sink.For(x);
            device.Run(new Gemm(gradient, layer.Weight.Value, gradX, rows, inputs, outputs, Accumulate: addX));
        }
    }
}
