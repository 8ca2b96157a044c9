using System.Numerics;

namespace CudaKernels.Kernels.Simd;

/// <summary>
/// A vector of float32 lanes. CPU kernels are written once over this interface and compiled for one, four, eight and sixteen
/// lanes; struct type arguments make the compiler specialise and inline every call. Comparisons give a lane mask (all bits
/// set or clear) for <see cref="Select"/>.
/// </summary>
internal unsafe interface ISimd<T> : IAdditionOperators<T, T, T>, ISubtractionOperators<T, T, T>, IMultiplyOperators<T, T, T>,
    IDivisionOperators<T, T, T>, IUnaryNegationOperators<T, T>
    where T : unmanaged, ISimd<T>
{
    /// <summary>Lanes.</summary>
    static abstract int Count { get; }

    static abstract T Zero { get; }

    static abstract T Create(float value);

    static abstract T Load(float* from);

    static abstract void Store(T value, float* to);

    /// <summary>A store past the caches; the address is a multiple of the vector's size.</summary>
    static abstract void Stream(T value, float* to);

    /// <summary>a·b + c, rounded once where the hardware can.</summary>
    static abstract T Fma(T a, T b, T c);

    /// <summary>sum += a·b, rounded once where the hardware can: <see cref="Fma"/> in the register of the sum, without the copies the compiler else makes.</summary>
    static abstract void AddProduct(ref T sum, T a, T b);

    static abstract T Min(T a, T b);

    static abstract T Max(T a, T b);

    static abstract T Abs(T a);

    static abstract T Sqrt(T a);

    static abstract T Floor(T a);

    static abstract T Exp(T a);

    /// <summary>Natural logarithm.</summary>
    static abstract T Log(T a);

    static abstract T Greater(T a, T b);

    static abstract T GreaterOrEqual(T a, T b);

    static abstract T Equal(T a, T b);

    /// <summary>Lane by lane: a where the mask is set, else b.</summary>
    static abstract T Select(T mask, T a, T b);

    static abstract T And(T a, T b);

    /// <summary>Sum of all lanes, as a tree of fixed shape.</summary>
    static abstract float Sum(T a);

    static abstract float MaxOf(T a);
}
