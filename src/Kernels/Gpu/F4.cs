namespace CudaKernels.Kernels;

/// <summary>Four floats of device code. One view element of this type is one 128-bit access, so its address must be a multiple of 16 bytes.</summary>
internal struct F4
{
    public float X, Y, Z, W;

    public F4(float x, float y, float z, float w)
    {
        X = x;
        Y = y;
        Z = z;
        W = w;
    }

    /// <summary>a·b + c; the compiler of the device contracts it to fused multiply-adds.</summary>
    public static F4 MultiplyAdd(float a, F4 b, F4 c) => new(a * b.X + c.X, a * b.Y + c.Y, a * b.Z + c.Z, a * b.W + c.W);
}
