using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

internal enum ActivationKind : byte
{
    None,
    Relu,
    LeakyRelu,
}

/// <summary>
/// The activation a kernel applies to its result before it stores it: y = x, y = max(x, 0) or y = x for x &gt; 0, slope·x
/// elsewhere. All three are one formula, y = x &gt; 0 ? x : <see cref="Factor"/>·x, and for slopes ≥ 0 the sign of y tells
/// the derivative (1 or the factor; the factor at 0, as PyTorch has it), so the backward pass needs only the output.
/// -∞ times a factor of 0 is NaN: values that are not finite surface instead of vanishing.
/// </summary>
internal readonly record struct Activation(ActivationKind Kind, float Slope)
{
    public static Activation None => default;

    public static Activation Relu => new(ActivationKind.Relu, 0);

    /// <summary>What values ≤ 0 are multiplied by.</summary>
    public float Factor => Kind switch { ActivationKind.None => 1, ActivationKind.Relu => 0, _ => Slope };

    public static Activation LeakyRelu(float slope) => new(ActivationKind.LeakyRelu, slope);

    public void Validate(string operation) =>
        Check.That(Kind != ActivationKind.LeakyRelu || (Slope >= 0 && float.IsFinite(Slope)), operation, "activation", "a slope ≥ 0", Slope);

    /// <summary>NaN stays NaN in every form.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Apply<TVector>(TVector x, TVector factor) where TVector : unmanaged, ISimd<TVector> =>
        TVector.Select(TVector.Greater(x, TVector.Zero), x, x * factor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Apply(float x, float factor) => x > 0 ? x : x * factor;

    /// <summary>The gradient before the activation, from the output and the gradient after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Gradient<TVector>(TVector y, TVector gradY, TVector factor) where TVector : unmanaged, ISimd<TVector> =>
        TVector.Select(TVector.Greater(y, TVector.Zero), gradY, gradY * factor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Gradient(float y, float gradY, float factor) => y > 0 ? gradY : gradY * factor;
}
