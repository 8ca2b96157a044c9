using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>scale / (normalizer + offset), read on the device; no normalizer, or a divisor of zero (nothing counted), divides by one.</summary>
internal readonly record struct LossFactor(float Scale, ArrayView<float> Normalizer, float Offset)
{
    public static LossFactor One => new(1, default, 0);

    public static LossFactor Of(GpuDevice device, float scale, TensorView normalizer, float offset = 0) =>
        new(scale, device.F32(normalizer), offset);

    public float Value
    {
        get
        {
            if (Normalizer.Length == 0)
                return Scale;
            float divisor = Normalizer[0] + Offset;
            return divisor == 0 ? Scale : Scale / divisor;
        }
    }
}
