using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>One executed operation: its inputs, its output, what it saved and its derivative.</summary>
internal abstract class Node(Tensor output)
{
    private List<Tensor>? saved;

    public abstract string Name { get; }

    public Tensor Output { get; } = output;

    /// <summary>The parameters whose gradients <see cref="Backward"/> writes.</summary>
    public virtual IEnumerable<Parameter> Parameters => [];

    /// <summary>Inputs and attributes, for exporters; empty where only training uses the operation.</summary>
    public virtual NodeTrace Trace => new();

    /// <summary>Writes the gradients of the inputs, given the gradient of <see cref="Output"/>.</summary>
    public abstract void Backward(TensorView gradient, GradientSink sink);

    /// <summary>Marks a tensor that only <see cref="Backward"/> reads; it goes back to the pool right after it.</summary>
    public void Save(Tensor tensor) => (saved ??= []).Add(tensor);

    internal void ReleaseSaved(StepScope scope)
    {
        if (saved is null)
            return;
        foreach (var tensor in saved)
            scope.Release(tensor, "its backward pass is over");
        saved = null;
    }
}
