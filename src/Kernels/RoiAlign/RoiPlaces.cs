using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The ILGPU path's list of placed RoIs, one thread each.</summary>
internal static class RoiPlaces
{
    public static Scratch Rent(GpuDevice device, TensorView rois) =>
        new(device, new Shape(rois.Shape[0], Unsafe.SizeOf<RoiPlace>() / sizeof(int)), DType.I32, nameof(RoiPlaces));

    public static ArrayView<RoiPlace> Fill(GpuDevice device, TensorView scratch, TensorView rois, RoiGrid grid)
    {
        var places = device.I32(scratch).Cast<RoiPlace>();
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
