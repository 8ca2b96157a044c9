using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>One executed operation: its inputs, its output, what it saved and its derivative.</summary>
internal abstract class Node(Tensor output)
{
    private List<TensorView>? saved;

    public abstract string Name { get; }

    public Tensor Output { get; } = output;

    /// <summary>Writes the gradients of the inputs, given the gradient of <see cref="Output"/>.</summary>
    public abstract void Backward(TensorView gradient, GradientSink sink);

    /// <summary>Hands a rented block to the node; it goes back to the pool after <see cref="Backward"/>.</summary>
    public TensorView Save(TensorView view)
    {
        (saved ??= []).Add(view);
        return view;
    }

    /// <summary>Takes a block back out of what the node saved, to give it away.</summary>
    protected TensorView Unsave(TensorView view)
    {
        saved!.RemoveAll(s => ReferenceEquals(s.Buffer, view.Buffer));
        return view;
    }

    internal void ReleaseSaved(StepScope scope)
    {
        if (saved is null)
            return;
        foreach (var view in saved)
            scope.Device.Return(view);
        saved = null;
    }
}
