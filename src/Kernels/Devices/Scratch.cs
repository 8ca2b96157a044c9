namespace CudaKernels.Kernels.Devices;

/// <summary>Memory a kernel needs while it runs: rented on construction, back in the pool when disposed, also when the kernel fails.</summary>
internal readonly unsafe ref struct Scratch(Device device, Shape shape, DType type, string owner) : IDisposable
{
    private readonly TensorView view = device.Rent(shape, type, owner);

    public float* F32 => view.F32;

    public int* I32 => view.I32;

    public byte* U8 => view.U8;

    public static implicit operator TensorView(Scratch scratch) => scratch.view;

    public void Dispose() => device.Return(view);
}
