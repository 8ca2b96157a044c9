using System.Runtime.CompilerServices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>A storage type only: the upper half of a float32, so the same range with seven bits of fraction. All arithmetic is on float32.</summary>
internal static class BFloat16
{
    /// <summary>The nearest one, ties to even; what is not a number stays so.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Narrow(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        return GpuMath.IsNaN(value) ? bits >> 16 | 0x40 : bits + 0x7fff + (bits >> 16 & 1) >> 16;
    }

    /// <summary>Exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Widen(uint value) => Interop.IntAsFloat(value << 16);
}
