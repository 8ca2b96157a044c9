using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Memory of a model that is only used: values without gradients, and no initial values drawn.</summary>
internal sealed class FrozenWeights : IDisposable
{
    private readonly Device device;
    private readonly List<TensorView> blocks = [];

    /// <param name="model">Its parameters and buffers get memory; it is switched to inference.</param>
    /// <param name="device">Where the memory lies.</param>
    public FrozenWeights(Module model, Device device)
    {
        this.device = device;
        foreach (var (name, parameter) in model.NamedParameters())
            parameter.Place(name, Block(parameter.Shape, name), default);
        foreach (var (name, buffer) in model.NamedBuffers())
            buffer.Place(Block(buffer.Shape, name));
        model.Train(false);
    }

    public bool Disposed { get; private set; }

    public void Dispose()
    {
        if (Disposed)
            return;
        Disposed = true;
        foreach (var block in blocks)
            device.Return(block);
    }

    private TensorView Block(Shape shape, string owner)
    {
        var block = device.Rent(shape, DType.F32, owner);
        blocks.Add(block);
        return block;
    }
}
