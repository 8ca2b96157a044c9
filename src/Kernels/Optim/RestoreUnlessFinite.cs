using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>Value ← Before where Guard[1] is 0: takes back what a step with gradients that are not finite has done.</summary>
internal readonly record struct RestoreUnlessFinite(TensorView Before, TensorView Value, TensorView Guard) : IKernel
{
    public Cost Cost => new(0, Guard.Bytes);

    public void Validate()
    {
        const string operation = nameof(RestoreUnlessFinite);
        Check.That(!Value.IsNone && Value.Type == DType.F32, operation, "value", "f32", Value);
        Check.Shape(operation, "before", Before, Value.Shape);
        Check.Shape(operation, "guard", Guard, new Shape(2));
        Check.Apart(operation, "before", Before, "value", Value);
    }

    public unsafe void Run(CpuDevice device)
    {
        if (Guard.F32[1] == 0)
            device.Copy(Before, Value);
    }

    public void Run(GpuDevice device) =>
        device.LaunchFor(Kernel, Value.Length, new Arguments(device.F32(Before), device.F32(Value), device.F32(Guard)));

    internal readonly record struct Arguments(ArrayView<float> Before, ArrayView<float> Value, ArrayView<float> Guard);

    private static void Kernel(Arguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Value.Length && a.Guard[1] == 0)
            a.Value[i] = a.Before[i];
    }
}
