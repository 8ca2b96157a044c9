using System.Runtime.CompilerServices;

namespace CudaKernels.Kernels.Simd;

/// <summary>
/// Four vectors as one of four times the lanes: a kernel whose lanes share much index arithmetic runs its body with
/// <c>Quad&lt;TVector&gt;</c> first, with TVector and one lane for what is left.
/// </summary>
internal unsafe struct Quad<T> : ISimd<Quad<T>> where T : unmanaged, ISimd<T>
{
    private T a, b, c, d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Quad(T a, T b, T c, T d) => (this.a, this.b, this.c, this.d) = (a, b, c, d);

    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 4 * T.Count;
    }

    public static Quad<T> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(T.Zero, T.Zero, T.Zero, T.Zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Create(float value)
    {
        var one = T.Create(value);
        return new(one, one, one, one);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Load(float* from) =>
        new(T.Load(from), T.Load(from + T.Count), T.Load(from + 2 * T.Count), T.Load(from + 3 * T.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Quad<T> value, float* to)
    {
        T.Store(value.a, to);
        T.Store(value.b, to + T.Count);
        T.Store(value.c, to + 2 * T.Count);
        T.Store(value.d, to + 3 * T.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stream(Quad<T> value, float* to)
    {
        T.Stream(value.a, to);
        T.Stream(value.b, to + T.Count);
        T.Stream(value.c, to + 2 * T.Count);
        T.Stream(value.d, to + 3 * T.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Fma(Quad<T> a, Quad<T> b, Quad<T> c) =>
        new(T.Fma(a.a, b.a, c.a), T.Fma(a.b, b.b, c.b), T.Fma(a.c, b.c, c.c), T.Fma(a.d, b.d, c.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddProduct(ref Quad<T> sum, Quad<T> a, Quad<T> b)
    {
        T.AddProduct(ref sum.a, a.a, b.a);
        T.AddProduct(ref sum.b, a.b, b.b);
        T.AddProduct(ref sum.c, a.c, b.c);
        T.AddProduct(ref sum.d, a.d, b.d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Min(Quad<T> a, Quad<T> b) => new(T.Min(a.a, b.a), T.Min(a.b, b.b), T.Min(a.c, b.c), T.Min(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Max(Quad<T> a, Quad<T> b) => new(T.Max(a.a, b.a), T.Max(a.b, b.b), T.Max(a.c, b.c), T.Max(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Greater(Quad<T> a, Quad<T> b) => new(T.Greater(a.a, b.a), T.Greater(a.b, b.b), T.Greater(a.c, b.c), T.Greater(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> GreaterOrEqual(Quad<T> a, Quad<T> b) => new(T.GreaterOrEqual(a.a, b.a), T.GreaterOrEqual(a.b, b.b), T.GreaterOrEqual(a.c, b.c), T.GreaterOrEqual(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Equal(Quad<T> a, Quad<T> b) => new(T.Equal(a.a, b.a), T.Equal(a.b, b.b), T.Equal(a.c, b.c), T.Equal(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> And(Quad<T> a, Quad<T> b) => new(T.And(a.a, b.a), T.And(a.b, b.b), T.And(a.c, b.c), T.And(a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Abs(Quad<T> a) => new(T.Abs(a.a), T.Abs(a.b), T.Abs(a.c), T.Abs(a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Sqrt(Quad<T> a) => new(T.Sqrt(a.a), T.Sqrt(a.b), T.Sqrt(a.c), T.Sqrt(a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Floor(Quad<T> a) => new(T.Floor(a.a), T.Floor(a.b), T.Floor(a.c), T.Floor(a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Exp(Quad<T> a) => new(T.Exp(a.a), T.Exp(a.b), T.Exp(a.c), T.Exp(a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Log(Quad<T> a) => new(T.Log(a.a), T.Log(a.b), T.Log(a.c), T.Log(a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Select(Quad<T> mask, Quad<T> a, Quad<T> b) =>
        new(T.Select(mask.a, a.a, b.a), T.Select(mask.b, a.b, b.b), T.Select(mask.c, a.c, b.c), T.Select(mask.d, a.d, b.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Quad<T> a) => T.Sum((a.a + a.b) + (a.c + a.d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxOf(Quad<T> a) => T.MaxOf(T.Max(T.Max(a.a, a.b), T.Max(a.c, a.d)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> operator +(Quad<T> a, Quad<T> b) => new(a.a + b.a, a.b + b.b, a.c + b.c, a.d + b.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> operator -(Quad<T> a, Quad<T> b) => new(a.a - b.a, a.b - b.b, a.c - b.c, a.d - b.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> operator *(Quad<T> a, Quad<T> b) => new(a.a * b.a, a.b * b.b, a.c * b.c, a.d * b.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> operator /(Quad<T> a, Quad<T> b) => new(a.a / b.a, a.b / b.b, a.c / b.c, a.d / b.d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> operator -(Quad<T> a) => new(-a.a, -a.b, -a.c, -a.d);
}
