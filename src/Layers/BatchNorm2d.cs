using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Batch norm per channel, y = act(γ(x − μ)/√(σ² + ε) + β (+ residual)), with activation and residual fused into its store.
/// Training uses the batch's statistics and moves the running ones; inference uses the running ones.
/// Parameters "weight" (γ) and "bias" (β), buffers "running_mean" and "running_var".
/// </summary>
internal sealed class BatchNorm2d : Module
{
    private readonly float epsilon, momentum;

    /// <param name="momentum">Share of the batch in the running statistics.</param>
    public BatchNorm2d(int channels, float epsilon = 1e-5f, float momentum = 0.1f)
    {
        (this.epsilon, this.momentum) = (epsilon, momentum);
        var shape = new Shape(channels);
        Weight = AddParameter("weight", shape, Init.One);
        Bias = AddParameter("bias", shape, Init.Zero);
        RunningMean = AddBuffer("running_mean", shape, 0);
        RunningVariance = AddBuffer("running_var", shape, 1);
    }

    public Parameter Weight { get; }

    public Parameter Bias { get; }

    public ModuleBuffer RunningMean { get; }

    public ModuleBuffer RunningVariance { get; }

    /// <param name="x">(N,H,W,C).</param>
    /// <param name="residual">Added in front of the activation; the shape of x.</param>
    /// <param name="consume">Promises that nobody else reads x: without a tape its memory becomes the result's, and x is dead.</param>
    public Tensor Forward(Tensor x, Activation activation = default, Tensor? residual = null, bool consume = false)
    {
        Operands.Image(nameof(BatchNorm2d), x, Weight.Name, Weight.Shape[0]);
        Operands.OnDevice(nameof(BatchNorm2d), x, Weight);
        if (residual is not null)
        {
            Operands.Value(nameof(BatchNorm2d), "residual", residual);
            Operands.SameShape(nameof(BatchNorm2d), "x", x, "residual", residual);
            if (ReferenceEquals(residual, x))
                throw new TensorException($"BatchNorm2d: residual is x itself ({x}); add it with Functional.Add instead");
        }
        if (IsTraining && x.Shape.Rows == 1)
            throw new TensorException($"BatchNorm2d: {Weight.Name} expects more than one value per channel in training but x is {x}; "
                + "use a larger batch or image, or Train(false)");

        var scope = x.Scope;
        var device = scope.Device;
        var input = x.View;
        var y = consume && !scope.Recording ? scope.TakeOver(x, nameof(BatchNorm2d), requiresGradient: true) : scope.Rent(x.Shape, nameof(BatchNorm2d), requiresGradient: true);
        Tensor[] batch = IsTraining ? scope.Once(() => BatchStatistics(scope, input)) : [];
        var (mean, variance) = IsTraining ? (batch[0].View, batch[1].View) : (RunningMean.Value, RunningVariance.Value);
        device.Run(new BatchNormApply(input, mean, variance, Weight.Value, Bias.Value, residual?.View ?? default, y.View, epsilon, activation));
        var node = new NormNode(this, x, residual, y, mean, variance, activation, IsTraining);
        foreach (var statistic in batch)
            node.Save(statistic);
        scope.Record(node);
        return y;
    }

    /// <summary>Mean and variance of the batch; moves the running ones.</summary>
    private Tensor[] BatchStatistics(StepScope scope, TensorView x)
    {
        Tensor mean = scope.Rent(RunningMean.Shape, nameof(BatchNorm2d)), variance = scope.Rent(RunningMean.Shape, nameof(BatchNorm2d));
        scope.Device.Run(new BatchNormStatistics(x, mean.View, variance.View));
        scope.Device.Run(new BatchNormUpdateRunning(mean.View, variance.View, RunningMean.Value, RunningVariance.Value, x.Shape.Rows, momentum));
        return [mean, variance];
    }

    /// <summary>With fixed statistics the norm is x·scale + shift per channel.</summary>
    public (Tensor Scale, Tensor Shift) Affine(StepScope scope)
    {
        if (IsTraining)
            throw new TensorException($"BatchNorm2d: {Weight.Name} has no fixed factors while it trains; use Train(false)");
        Tensor scale = scope.Rent(Weight.Shape, nameof(BatchNorm2d)), shift = scope.Rent(Weight.Shape, nameof(BatchNorm2d));
        scope.Device.Run(new BatchNormAffine(RunningMean.Value, RunningVariance.Value, Weight.Value, Bias.Value, scale.View, shift.View, epsilon));
        return (scale, shift);
    }

    private sealed class NormNode(BatchNorm2d layer, Tensor x, Tensor? residual, Tensor y, TensorView mean, TensorView variance,
        Activation activation, bool training) : Node(y)
    {
        public override string Name => nameof(BatchNorm2d);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(residual is null ? [x] : [x, residual])
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias.Value,
            ["mean"] = mean,
            ["variance"] = variance,
            ["epsilon"] = layer.epsilon,
            ["activation"] = activation,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            Tensor sums = sink.Rent(mean.Shape, Name), centredSums = sink.Rent(mean.Shape, Name);
            TensorView sum = sums.View, sumCentred = centredSums.View;
            device.Run(new BatchNormReduceGradient(x.View, Output.View, gradient, mean, sum, sumCentred, activation));
            var (gradWeight, add) = sink.For(layer.Weight);
            var (gradBias, _) = sink.For(layer.Bias);
            device.Run(new BatchNormParameterGradient(sum, sumCentred, variance, gradWeight, gradBias, layer.epsilon, add));

            // Both results are pointwise in the gradient, so one of them can take its memory over.
            bool wantsX = sink.Wants(x), wantsResidual = residual is not null && sink.Wants(residual);
            bool giveResidual = wantsX && wantsResidual && sink.CanGive(residual!);
            bool giveX = wantsX && !giveResidual && sink.CanGive(x);
            var inPlace = new GradientTarget(gradient, false);
            var gradX = wantsX && !giveX ? sink.For(x) : inPlace;
            var gradResidual = !wantsResidual ? default : giveResidual ? inPlace : sink.For(residual!);
            if (wantsX || wantsResidual)
                device.Run(new BatchNormInputGradient(x.View, Output.View, gradient, mean, variance, layer.Weight.Value, sum, sumCentred,
                    x.Shape.Rows, gradX.View, gradResidual.View, layer.epsilon, activation, training, gradX.Accumulate, gradResidual.Accumulate));
            if (giveResidual)
                sink.Give(residual!);
            if (giveX)
                sink.Give(x);
            sink.Return(sums);
            sink.Return(centredSums);
        }
    }
}
