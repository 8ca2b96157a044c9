using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Ranks;

/// <summary>Views with known values, and comparisons bit for bit.</summary>
internal static class Values
{
    /// <summary>What rank <paramref name="rank"/> holds: values of many magnitudes and both signs, so that the order of a sum shows in its bits.</summary>
    public static float[] Floats(int rank, int length, int draw = 0)
    {
        var random = new CounterRandom(11, (ulong)rank, (ulong)draw);
        return [.. Enumerable.Range(0, length).Select(i => (random.At((ulong)i).Bits & 0xFFFFFF) / 16777216f - 0.5f).Select((x, i) => x * MathF.ScaleB(1, i % 24 - 12))];
    }

    public static byte[] Bytes(int rank, int length) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7 + rank * 31 + 1))];

    /// <summary>((x0 + x1) + x2) + ..., written the plain way.</summary>
    public static float[] Combined(int size, Reduction reduction, Func<int, float[]> of)
    {
        float[] y = of(0);
        for (int r = 1; r < size; r++)
        {
            float[] x = of(r);
            for (int i = 0; i < y.Length; i++)
                y[i] = reduction == Reduction.Sum ? y[i] + x[i] : MathF.Max(y[i], x[i]);
        }
        return y;
    }

    /// <summary>Lets the work change a view that lies at an odd place between sentinels, and gives what is in it afterwards.</summary>
    public static T[] Change<T>(Device device, DType type, T[] values, Action<TensorView> work) where T : unmanaged
    {
        const int Before = 3, After = 5;
        var whole = device.Rent(new Shape(Before + values.Length + After), type, "ranks");
        try
        {
            var around = new T[whole.Length];
            MemoryMarshal.AsBytes(around.AsSpan()).Fill(0x7A);
            var expected = (T[])around.Clone();
            values.CopyTo(around, Before);
            device.Upload<T>(around, whole);
            work(whole.Slice(Before, new Shape(values.Length)));
            device.Download(whole, around.AsSpan());
            Equal(expected[..Before], around[..Before], "what lies before the view");
            Equal(expected[^After..], around[^After..], "what lies after the view");
            return around[Before..^After];
        }
        finally
        {
            device.Return(whole);
        }
    }

    public static void Equal<T>(T[] expected, T[] actual, string what) where T : unmanaged
    {
        ReadOnlySpan<byte> a = MemoryMarshal.AsBytes<T>(expected), b = MemoryMarshal.AsBytes<T>(actual);
        if (a.SequenceEqual(b))
            return;
        int at = a.CommonPrefixLength(b) / Unsafe.SizeOf<T>();
        throw new InvalidOperationException(at < Math.Min(expected.Length, actual.Length)
            ? $"{what}: element {at} of {expected.Length} is {actual[at]}, expected {expected[at]}"
            : $"{what}: {actual.Length} elements, expected {expected.Length}");
    }

    public static void That(bool condition, string what)
    {
        if (!condition)
            throw new InvalidOperationException(what);
    }
}
