using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// What a thread of the ILGPU path reads at once: <see cref="F32x1"/>, or where addresses and lengths allow it <c>Quad&lt;F32x1&gt;</c>, four
/// neighbouring floats in one 128-bit access. Kernels that move memory are written once over <see cref="ISimd{T}"/> and compiled for both.
/// </summary>
internal static class GpuLanes
{
    private const int Four = 4;

    /// <summary>Whether views can be read four floats at a time in rows of <paramref name="length"/>; an absent view does not mind.</summary>
    public static bool ByFour(long length, params ReadOnlySpan<TensorView> views)
    {
        foreach (var view in views)
            if (!view.IsNone && view.Offset % Four != 0)
                return false;
        return length % Four == 0;
    }

    public static ArrayView<T> Of<T>(GpuDevice device, TensorView view) where T : unmanaged, ISimd<T> =>
        view.IsNone ? default : device.F32(view).Cast<T>();
}
