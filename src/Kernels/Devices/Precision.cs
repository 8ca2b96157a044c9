namespace CudaKernels.Kernels.Devices;

/// <summary>
/// What a device's tensor cores may multiply in convolutions and matrix products; sums are float32 in each, and so is all else. A product whose
/// channels do not lie so that they can is computed in float32.
/// </summary>
internal enum Precision
{
    /// <summary>float32: no tensor cores.</summary>
    Fp32,

    /// <summary>Operands rounded to ten bits of fraction.</summary>
    Tf32,

    /// <summary>Operands rounded to seven bits of fraction; where channels are multiples of four but not of eight, to ten.</summary>
    Bf16,
}
