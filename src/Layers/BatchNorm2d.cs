using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// Batch norm per channel, y = act(γ(x − μ)/√(σ² + ε) + β (+ residual)), with activation and residual fused into its store.
/// Training uses the batch's statistics and moves the running ones; inference uses the running ones. In a <see cref="Group"/> the batch is that
/// of all its ranks: one gather in the forward pass, one sum in the backward pass, and the gradients of γ and β are this rank's own shares.
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

    /// <summary>The ranks that train as one batch; none or a group of one: the batch is what the layer is given.</summary>
    public INormGroup? Group { get; set; }

    /// <param name="x">(N,H,W,C).</param>
    /// <param name="residual">Added in front of the activation; the shape of x.</param>
    /// <param name="consume">Promises that nobody else reads x: without a tape its memory becomes the result's, and x is dead.</param>
    /// <param name="measured">Mean and variance of x, laid as a <see cref="BatchNormPart"/> does, where whoever made x has measured them.</param>
    public Tensor Forward(Tensor x, Activation activation = default, Tensor? residual = null, bool consume = false, Tensor? measured = null)
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
        var group = IsTraining && Group is { Size: > 1 } ? Group : null;
        // How many values the others have, the host does not know; one alone comes out as β.
        if (IsTraining && group is null && x.Shape.Rows == 1)
            throw new TensorException($"BatchNorm2d: {Weight.Name} expects more than one value per channel in training but x is {x}; "
                + "use a larger batch or image, or Train(false)");

        var scope = x.Scope;
        var device = scope.Device;
        var input = x.View;
        var y = consume && !scope.Recording ? scope.TakeOver(x, nameof(BatchNorm2d), requiresGradient: true) : scope.Rent(x.Shape, nameof(BatchNorm2d), requiresGradient: true);
        Tensor[] batch = IsTraining ? scope.Once(() => [BatchStatistics(scope, input, group, measured)]) : [];
        var statistics = IsTraining ? NormStatistics.In(batch[0], input, group) : new(RunningMean.Value, RunningVariance.Value, input.Shape.Rows);
        device.Run(new BatchNormApply(
            input, statistics.Mean, statistics.Variance, Weight.Value, Bias.Value, residual?.View ?? default, y.View, epsilon, activation));
        var node = new NormNode(this, x, residual, y, statistics, activation, IsTraining, group);
        foreach (var block in batch)
            node.Save(block);
        scope.Record(node);
        return y;
    }

    /// <summary>Measures the batch, with the other ranks of the group if there is one, and moves the running statistics.</summary>
    private Tensor BatchStatistics(StepScope scope, TensorView input, INormGroup? group, Tensor? measured)
    {
        int length = BatchNormPart.Length(input.Shape.Channels);
        var block = measured ?? scope.Rent(new Shape(length), nameof(BatchNorm2d));
        var (mean, variance, rows) = NormStatistics.In(block, input, group);
        if (group is null && measured is null)
            scope.Device.Run(new BatchNormStatistics(input, mean, variance));
        if (group is not null)
        {
            var parts = scope.Rent(new Shape(group.Size, length), nameof(BatchNorm2d));
            scope.Device.Run(new BatchNormPart(input, block.View, Measured: measured is not null));
            group.Gather(block.View, parts.View);
            scope.Device.Run(new BatchNormMerge(parts.View, mean, variance, rows.Words));
            scope.Release(parts, "its ranks are merged");
        }
        scope.Device.Run(new BatchNormUpdateRunning(mean, variance, RunningMean.Value, RunningVariance.Value, rows, momentum));
        return block;
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

    /// <summary>What x is normalised with, and the rows behind it.</summary>
    private readonly record struct NormStatistics(TensorView Mean, TensorView Variance, RowCount Rows)
    {
        /// <summary>Those of a batch lie in one block, as a <see cref="BatchNormPart"/> does; the rows of a group are counted on the device.</summary>
        public static NormStatistics In(Tensor block, TensorView input, INormGroup? group)
        {
            int channels = input.Shape.Channels;
            var shape = new Shape(channels);
            return new(block.View.Slice(0, shape), block.View.Slice(channels, shape),
                group is null ? input.Shape.Rows : RowCount.At(block.View.Slice(2 * channels, new Shape(RowCount.Length))));
        }
    }

    private sealed class NormNode(BatchNorm2d layer, Tensor x, Tensor? residual, Tensor y, NormStatistics statistics,
        Activation activation, bool training, INormGroup? group) : Node(y)
    {
        public override string Name => nameof(BatchNorm2d);

        public override IEnumerable<Parameter> Parameters => layer.OwnParameters;

        public override NodeTrace Trace => new(residual is null ? [x] : [x, residual])
        {
            ["weight"] = layer.Weight.Value,
            ["bias"] = layer.Bias.Value,
            ["mean"] = statistics.Mean,
            ["variance"] = statistics.Variance,
            ["epsilon"] = layer.epsilon,
            ["activation"] = activation,
        };

        public override void Backward(TensorView gradient, GradientSink sink)
        {
            var device = sink.Device;
            var (mean, variance, rows) = statistics;
            var sums = sink.Rent(new Shape(2, mean.Shape[0]), Name);
            TensorView sum = sums.View.Slice(0, mean.Shape), sumCentred = sums.View.Slice(mean.Length, mean.Shape);
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
            {
                group?.Sum(sums.View);
                device.Run(new BatchNormInputGradient(x.View, Output.View, gradient, mean, variance, layer.Weight.Value, sum, sumCentred,
                    rows, gradX.View, gradResidual.View, layer.epsilon, activation, training, gradX.Accumulate, gradResidual.Accumulate));
            }
            if (giveResidual)
                sink.Give(residual!);
            if (giveX)
                sink.Give(x);
            sink.Return(sums);
        }
    }
}
