using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>Where a gradient goes and whether it is the first to arrive: the first writer overwrites, so nothing is zero-filled.</summary>
internal readonly record struct GradientTarget(TensorView View, bool Accumulate);

/// <summary>Hands out gradient memory to nodes during the backward pass.</summary>
internal sealed class GradientSink(StepScope scope)
{
    private TensorView current;
    private Node? node;

    /// <summary>True once <see cref="Give(Tensor)"/> or <see cref="Take"/> has passed on the gradient of the node at work.</summary>
    internal bool Given { get; private set; }

    public Kernels.Devices.Device Device => scope.Device;

    /// <summary>False for inputs nobody needs a gradient of; their computation can be left out.</summary>
    public bool Wants(Tensor input) => input.RequiresGradient;

    /// <summary>
    /// True when <see cref="Give(Tensor)"/> would hand the memory of the node's gradient over. The node may then compute
    /// the input's gradient in place before it gives it away.
    /// </summary>
    public bool CanGive(Tensor input) =>
        input.RequiresGradient && input.Gradient.IsNone && !Given && current.Shape.Length == input.Shape.Length;

    public GradientTarget For(Tensor input)
    {
        if (!input.RequiresGradient)
            throw new TensorException($"GradientSink: {input} takes no gradient; ask Wants first");
        bool first = input.Gradient.IsNone;
        if (first)
            input.Gradient = scope.Device.Rent(input.Shape, DType.F32, "gradient of " + input.MadeBy);
        return new(input.Gradient, !first);
    }

    public GradientTarget For(Parameter parameter)
    {
        if (!node!.Parameters.Contains(parameter))
            throw new TensorException($"GradientSink: {node.Name} writes the gradient of {parameter.Name}, which is not among its Parameters; list it there");
        bool first = !parameter.GradientWritten;
        parameter.GradientWritten = true;
        return new(parameter.Gradient, !first);
    }

    /// <summary>
    /// Passes the node's own gradient on to an input unchanged. The first input that has none yet takes the memory over;
    /// others add it to theirs. The node must not touch the gradient afterwards except through further calls of this.
    /// </summary>
    public void Give(Tensor input)
    {
        if (!input.RequiresGradient)
            return;
        if (CanGive(input))
        {
            input.Gradient = current.Reshape(input.Shape);
            Given = true;
            return;
        }
        var target = For(input);
        var source = current.Reshape(input.Shape);
        if (target.Accumulate)
            scope.Device.Run(new AddInto(source, target.View));
        else
            scope.Device.Copy(source, target.View);
    }

    /// <summary>Takes the node's gradient out of the tape's hands: whoever calls this returns its memory.</summary>
    public TensorView Take()
    {
        Given = true;
        return current;
    }

    /// <summary>Memory for the node while it works; <see cref="Return"/> it as soon as it is not needed.</summary>
    public Tensor Rent(Shape shape, string owner) => scope.Rent(shape, owner);

    public void Return(Tensor tensor) => scope.Release(tensor, "its backward pass is over");

    /// <summary>Hands a tensor of the node's own (rented or saved) over to an input, whose gradient it becomes or is added to.</summary>
    public void Give(Tensor input, Tensor own)
    {
        if (input.RequiresGradient && input.Gradient.IsNone)
        {
            input.Gradient = scope.Keep(own).Reshape(input.Shape);
            return;
        }
        if (input.RequiresGradient)
            scope.Device.Run(new AddInto(own.View.Reshape(input.Shape), input.Gradient));
        Return(own);
    }

    internal void Begin(Node node, TensorView gradient)
    {
        this.node = node;
        current = gradient;
        Given = false;
    }
}
