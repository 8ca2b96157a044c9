using System.Runtime.CompilerServices;

namespace CudaKernels.Kernels.Simd;

/// <summary>One lane: plain float32 arithmetic, for processors without vectors and for tests.</summary>
internal readonly unsafe struct F32x1 : ISimd<F32x1>
{
    private readonly float v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private F32x1(float value) => v = value;

    /// <summary>The number itself.</summary>
    public float Value => v;

    public static int Count => 1;

    public static F32x1 Zero => default;

    public static F32x1 Create(float value) => new(value);

    public static F32x1 Load(float* from) => new(*from);

    public static void Store(F32x1 value, float* to) => *to = value.v;

    public static void Stream(F32x1 value, float* to) => *to = value.v;

    public static F32x1 Fma(F32x1 a, F32x1 b, F32x1 c) => new(a.v * b.v + c.v);

    public static void AddProduct(ref F32x1 sum, F32x1 a, F32x1 b) => sum = Fma(a, b, sum);

    public static F32x1 Min(F32x1 a, F32x1 b) => new(MathF.Min(a.v, b.v));

    public static F32x1 Max(F32x1 a, F32x1 b) => new(MathF.Max(a.v, b.v));

    public static F32x1 Abs(F32x1 a) => new(MathF.Abs(a.v));

    public static F32x1 Sqrt(F32x1 a) => new(MathF.Sqrt(a.v));

    public static F32x1 Floor(F32x1 a) => new(MathF.Floor(a.v));

    public static F32x1 Exp(F32x1 a) => new(GpuMath.Exp(a.v));

    public static F32x1 Log(F32x1 a) => new(GpuMath.Log(a.v));

    // Equal to a > b for all numbers. The compiler of the ILGPU path lets a not-a-number pass "constant > x"; here the constant is on the right.
    public static F32x1 Greater(F32x1 a, F32x1 b) => Mask(b.v - a.v < 0);

    public static F32x1 GreaterOrEqual(F32x1 a, F32x1 b) => Mask(a.v >= b.v);

    public static F32x1 Equal(F32x1 a, F32x1 b) => Mask(a.v == b.v);

    public static F32x1 Select(F32x1 mask, F32x1 a, F32x1 b) => BitConverter.SingleToInt32Bits(mask.v) != 0 ? a : b;

    public static F32x1 And(F32x1 a, F32x1 b) =>
        new(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a.v) & BitConverter.SingleToInt32Bits(b.v)));

    public static float Sum(F32x1 a) => a.v;

    public static float MaxOf(F32x1 a) => a.v;

    public static F32x1 operator +(F32x1 a, F32x1 b) => new(a.v + b.v);

    public static F32x1 operator -(F32x1 a, F32x1 b) => new(a.v - b.v);

    public static F32x1 operator *(F32x1 a, F32x1 b) => new(a.v * b.v);

    public static F32x1 operator /(F32x1 a, F32x1 b) => new(a.v / b.v);

    public static F32x1 operator -(F32x1 a) => new(-a.v);

    private static F32x1 Mask(bool set) => new(BitConverter.Int32BitsToSingle(set ? -1 : 0));
}
