using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>One executed operation: its inputs, its output, what it saved and its derivative.</summary>
internal abstract class Node(Tensor output)
{
    private readonly List<TensorView> saved = [];

    public abstract string Name { get; }

    public Tensor Output { get; } = output;

    /// <summary>Writes the gradients of the inputs, given the gradient of <see cref="Output"/>.</summary>
    public abstract void Backward(TensorView gradient, GradientSink sink);

    /// <summary>Hands a rented block to the node; it goes back to the pool after <see cref="Backward"/>.</summary>
    public TensorView Save(TensorView view)
    {
        saved.Add(view);
        return view;
    }

    internal void ReleaseSaved(StepScope scope)
    {
        foreach (var view in saved)
            scope.Device.Return(view);
        saved.Clear();
    }
}
