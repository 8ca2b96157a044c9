using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>A number of each (image, group) on the device, as lanes of channels: neighbours where groups are single channels, else one for all lanes.</summary>
internal readonly record struct PerGroup<T>(ArrayView<float> Numbers, ArrayView<T> Neighbours, int Single) where T : unmanaged, ISimd<T>
{
    /// <param name="group">Counted as <see cref="NormLayout.InLanes"/> counts.</param>
    public T this[long group] => Single != 0 ? Neighbours[group] : T.Create(Numbers[group]);

    public static PerGroup<T> Of(GpuDevice device, NormLayout layout, TensorView view) => layout.GroupChannels == 1
        ? new(default, GpuLanes.Of<T>(device, view), 1)
        : new(device.F32(view), default, 0);

    /// <summary>Whether four channels at a time find their numbers.</summary>
    public static bool ByFour(NormLayout layout, params ReadOnlySpan<TensorView> views) =>
        layout.GroupChannels == 1 ? GpuLanes.ByFour(layout.Channels, views) : layout.GroupChannels % 4 == 0;
}
