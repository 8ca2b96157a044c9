using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The ILGPU path's list of placed RoIs, one thread each.</summary>
internal static class RoiPlaces
{
    public static GpuRecords<RoiPlace> Rent(GpuDevice device, TensorView rois) => new(device, rois.Shape[0], nameof(RoiPlaces));

    public static ArrayView<RoiPlace> Fill(GpuDevice device, GpuRecords<RoiPlace> scratch, TensorView rois, RoiGrid grid)
    {
        var places = scratch.View;
        device.LaunchFor(Kernel, rois.Shape[0], new Arguments(device.F32(rois), places, grid));
        return places;
    }

    internal readonly record struct Arguments(ArrayView<float> Rois, ArrayView<RoiPlace> Places, RoiGrid Grid);

    private static void Kernel(Arguments a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i < a.Places.Length)
            a.Places[i] = RoiPlace.At(a.Rois[5 * i], a.Rois[5 * i + 1], a.Rois[5 * i + 2], a.Rois[5 * i + 3], a.Rois[5 * i + 4], a.Grid);
    }
}
