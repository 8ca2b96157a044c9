using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>State that training updates but no gradient reaches: running statistics.</summary>
internal sealed class ModuleBuffer(Shape shape, float initial)
{
    private TensorView value;

    public Shape Shape { get; } = shape;

    public float Initial { get; } = initial;

    public TensorView Value => value.IsNone
        ? throw new TensorException($"ModuleBuffer {Shape}: has no memory yet; build a ParameterSet over the module first")
        : value;

    internal void Place(TensorView slice) => value = slice;
}
