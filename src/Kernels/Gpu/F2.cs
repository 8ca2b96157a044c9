namespace CudaKernels.Kernels;

/// <summary>Two floats of device code: one access of 64 bits.</summary>
internal struct F2(float x, float y)
{
    public float X = x, Y = y;
}
