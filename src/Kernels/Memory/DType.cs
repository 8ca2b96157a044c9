namespace CudaKernels.Kernels;

/// <summary>Element type of a view. Arithmetic is always float32; BF16 is how operands of tensor cores are stored.</summary>
internal enum DType : byte
{
    F32,
    I32,
    U8,
    BF16,
}

internal static class DTypes
{
    public static int Size(this DType type) => type switch { DType.U8 => 1, DType.BF16 => 2, _ => 4 };

    public static string Label(this DType type) => type switch { DType.F32 => "f32", DType.I32 => "i32", DType.BF16 => "bf16", _ => "u8" };
}
