namespace CudaKernels.Tests;

/// <summary>
/// The golden rule: with m = max |expected| a value passes when |got - expected| ≤ Plain + Absolute·m + Relative·|expected|.
/// The rows are those of the golden README.
/// </summary>
internal readonly record struct Tolerance(double Absolute, double Relative, double Plain = 0)
{
    /// <summary>Pointwise operations, boxes, box codes; forward and gradient.</summary>
    public static Tolerance Pointwise => new(1e-6, 1e-5);

    /// <summary>Convolution, linear, pooling, interpolation, losses: forward.</summary>
    public static Tolerance Sum => new(1e-5, 1e-4);

    public static Tolerance SumGradient => new(2e-5, 2e-4);

    public static Tolerance Norm => new(1e-5, 1e-4);

    public static Tolerance NormGradient => new(1e-4, 1e-3);

    /// <summary>Normalisation of data whose mean is far larger than its spread.</summary>
    public static Tolerance Cancellation => new(0, 0, 1e-3);

    public static Tolerance CancellationGradient => new(1e-2, 0);

    /// <summary>Operands of TF32, sums of float32.</summary>
    public static Tolerance Tf32 => new(3e-3, 0);

    public static Tolerance Tf32Gradient => new(5e-3, 0);

    /// <summary>Operands of bf16, sums of float32.</summary>
    public static Tolerance Bf16 => new(2e-2, 0);

    public static Tolerance Bf16Gradient => new(5e-2, 0);

    public static Tolerance Exact => default;
}
