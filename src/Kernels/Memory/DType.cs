namespace CudaKernels.Kernels;

/// <summary>Element type of a view. Arithmetic is always float32.</summary>
internal enum DType : byte
{
    F32,
    I32,
    U8,
}

internal static class DTypes
{
    public static int Size(this DType type) => type == DType.U8 ? 1 : 4;

    public static string Label(this DType type) => type switch { DType.F32 => "f32", DType.I32 => "i32", _ => "u8" };
}
