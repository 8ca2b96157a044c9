using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// An array of one step: a view, the scope that owns its memory and the node that made it. User code never disposes one;
/// the scope, or the backward pass before it, takes the memory back.
/// </summary>
internal sealed class Tensor
{
    private TensorView view;
    private string? endedBy;

    internal Tensor(TensorView view, StepScope scope, string madeBy, bool requiresGradient)
    {
        this.view = view;
        Scope = scope;
        MadeBy = madeBy;
        RequiresGradient = requiresGradient;
        Shape = view.Shape;
    }

    public Shape Shape { get; }

    public StepScope Scope { get; }

    /// <summary>Name of the operation whose output this is.</summary>
    public string MadeBy { get; }

    /// <summary>True when the backward pass has to visit this tensor.</summary>
    public bool RequiresGradient { get; }

    /// <summary>Set on the scalars that losses return: the roots of the backward pass.</summary>
    public bool IsLoss { get; init; }

    /// <summary>The memory; throws once the tensor is dead.</summary>
    public TensorView View => endedBy is null ? view
        : throw new TensorException($"{MadeBy}: its output {view} is dead ({endedBy}); read it earlier or hold it with scope.Keep(tensor)");

    /// <summary>Gradient under construction; none until the first reader has written.</summary>
    internal TensorView Gradient { get; set; }

    internal bool IsAlive => endedBy is null;

    public override string ToString() => $"{MadeBy} {view}";

    internal TensorView End(string reason)
    {
        var memory = View;
        endedBy = reason;
        return memory;
    }
}
