using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// The operations of one step in the order they ran; reverse order is therefore a valid order for the backward pass.
/// Losses are the roots: each is a scalar whose node already holds its weighted gradient.
/// </summary>
internal sealed class Tape(StepScope scope)
{
    private readonly List<Node> nodes = [];
    private bool done;

    /// <summary>What ran so far, in order; empty after the backward pass.</summary>
    public IReadOnlyList<Node> Nodes => nodes;

    public void Add(Node node) => nodes.Add(node);

    /// <summary>
    /// Runs every node backwards. Memory is released on the way: a tensor's last reader in this direction is the node that
    /// made it, so output, gradient and saved blocks go back to the pool right after it. Losses stay readable.
    /// </summary>
    /// <param name="losses">The roots.</param>
    /// <param name="completed">
    /// Told of every parameter on the tape once the node that used it first, and so writes its gradient last, is through.
    /// </param>
    public void Backward(ReadOnlySpan<Tensor> losses, Action<Parameter>? completed)
    {
        if (done)
            throw new TensorException("Backward: has run in this scope already; give all losses to one call");
        foreach (var loss in losses)
        {
            if (loss.Scope != scope)
                throw new TensorException($"Backward: {loss} belongs to another step scope");
            if (loss.Shape.Length != 1)
                throw new TensorException($"Backward: a loss is a scalar but {loss} has {loss.Shape.Length} elements");
            if (!loss.RequiresGradient)
                throw new TensorException($"Backward: no parameter took part in {loss}; it has no gradient");
            if (!loss.Gradient.IsNone)
                throw new TensorException($"Backward: {loss} was given twice");
            loss.Gradient = scope.Device.Rent(loss.Shape, DType.F32, "loss gradient");
            scope.Device.Fill(loss.Gradient, 1);
        }
        Walk(completed);
    }

    /// <summary>As for losses, from a tensor whose gradient is given. The gradient's memory is the tape's from here on.</summary>
    public void Backward(Tensor output, TensorView gradient)
    {
        output.Gradient = gradient;
        Walk(null);
    }

    private void Walk(Action<Parameter>? completed)
    {
        done = true;
        var lastWriters = completed is null ? null : FirstUses();
        var sink = new GradientSink(scope);
        for (int i = nodes.Count - 1; i >= 0; i--)
        {
            var node = nodes[i];
            var output = node.Output;
            var gradient = output.Gradient;
            if (!gradient.IsNone)
            {
                // The gradient has one owner at any time, so that a failure returns it once: here the sink, until it gives it away.
                sink.Begin(node, gradient);
                output.Gradient = default;
                try
                {
                    node.Backward(gradient, sink);
                }
                finally
                {
                    if (!sink.Given)
                        scope.Device.Return(gradient);
                }
            }
            node.ReleaseSaved(scope);
            if (output.Shape.Length != 1)
                scope.Release(output, "its backward pass is over");
            if (lastWriters is not null && lastWriters.TryGetValue(node, out var through))
                through.ForEach(completed!);
        }
        nodes.Clear();
    }

    /// <summary>For every node the parameters that no node before it uses.</summary>
    private Dictionary<Node, List<Parameter>> FirstUses()
    {
        var seen = new HashSet<Parameter>();
        var first = new Dictionary<Node, List<Parameter>>();
        foreach (var node in nodes)
            if (node.Parameters.Where(seen.Add).ToList() is { Count: > 0 } own)
                first.Add(node, own);
        return first;
    }

    /// <summary>Drops the recorded operations and what they saved.</summary>
    public void Clear()
    {
        foreach (var node in nodes)
        {
            node.ReleaseSaved(scope);
            if (!node.Output.Gradient.IsNone)
                scope.Device.Return(node.Output.Gradient);
            node.Output.Gradient = default;
        }
        nodes.Clear();
    }
}
