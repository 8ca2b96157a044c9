using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Four vectors as one do what single lanes do, lane by lane.</summary>
public unsafe class QuadTests
{
    [Fact]
    public void EveryOperationMatchesSingleLanes()
    {
        Check<F32x1>();
        Check<F32x4>();
        Check<F32x8>();
        Check<F32x16>();
    }

    private static void Check<T>() where T : unmanaged, ISimd<T>
    {
        float[] first = KernelTest.Random(1, Quad<T>.Count, 2), second = KernelTest.Random(2, Quad<T>.Count, 2), third = KernelTest.Random(3, Quad<T>.Count);
        second[0] = first[0]; // for equality
        fixed (float* p = first, q = second, r = third)
        {
            Quad<T> a = Quad<T>.Load(p), b = Quad<T>.Load(q), c = Quad<T>.Load(r);
            Lanes(a + b, (x, y, _) => x + y);
            Lanes(a - b, (x, y, _) => x - y);
            Lanes(a * b, (x, y, _) => x * y);
            Lanes(a / b, (x, y, _) => x / y);
            Lanes(-a, (x, _, _) => -x);
            Lanes(Quad<T>.Zero + Quad<T>.Create(3), (_, _, _) => 3);
            Lanes(Quad<T>.Fma(a, b, c), (x, y, z) => (float)((double)x * y + z));
            Lanes(Quad<T>.Min(a, b), (x, y, _) => Math.Min(x, y));
            Lanes(Quad<T>.Max(a, b), (x, y, _) => Math.Max(x, y));
            Lanes(Quad<T>.Abs(a), (x, _, _) => Math.Abs(x));
            Lanes(Quad<T>.Sqrt(Quad<T>.Abs(a)), (x, _, _) => MathF.Sqrt(Math.Abs(x)));
            Lanes(Quad<T>.Floor(a), (x, _, _) => MathF.Floor(x));
            Lanes(Quad<T>.Exp(a), (x, _, _) => MathF.Exp(x));
            Lanes(Quad<T>.Log(Quad<T>.Abs(a)), (x, _, _) => MathF.Log(Math.Abs(x)));
            Lanes(Quad<T>.Select(Quad<T>.Greater(a, b), a, c), (x, y, z) => x > y ? x : z);
            Lanes(Quad<T>.Select(Quad<T>.GreaterOrEqual(a, b), a, c), (x, y, z) => x >= y ? x : z);
            Lanes(Quad<T>.And(Quad<T>.Equal(a, b), c), (x, y, z) => x == y ? z : 0);
            KernelTest.Close([first.Sum(x => (double)x), first.Max()], [Quad<T>.Sum(a), Quad<T>.MaxOf(a)], new Tolerance(1e-6, 1e-6), "sum and maximum");
        }

        void Lanes(Quad<T> got, Func<float, float, float, float> lane)
        {
            var values = new float[Quad<T>.Count];
            fixed (float* to = values)
                Quad<T>.Store(got, to);
            float[] expected = [.. values.Select((_, i) => lane(first[i], second[i], third[i]))];
            KernelTest.Close(expected, values, new Tolerance(1e-6, 1e-6), $"{typeof(T).Name}");
        }
    }
}
