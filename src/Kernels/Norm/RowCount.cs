using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// How many rows stand behind batch statistics: a number the host knows or, where ranks have added theirs, two floats on the device, so
/// that the host need not wait for them: rows = 2²⁴·first + second, both whole and the second below 2²⁴, exact up to 2⁴⁸.
/// </summary>
internal readonly unsafe record struct RowCount(long Known, TensorView Words)
{
    /// <summary>Floats of a count on the device.</summary>
    public const int Length = 2;

    private const int LowBits = 24;

    public static implicit operator RowCount(long rows) => new(rows, default);

    public static RowCount At(TensorView words) => new(0, words);

    public bool IsKnown => Words.IsNone;

    /// <summary>On the processor.</summary>
    public long Value => IsKnown ? Known : Join(Words.F32[0], Words.F32[1]);

    public void Validate(string operation)
    {
        if (!IsKnown)
            Check.Shape(operation, "count", Words, new Shape(Length));
    }

    public override string ToString() => IsKnown ? Known.ToString() : Words.ToString();

    public static long Join(float high, float low) => ((long)high << LowBits) + (long)low;

    public static (float High, float Low) Split(long rows) => (rows >> LowBits, rows & (1 << LowBits) - 1);

    public Argument For(GpuDevice device) => new(IsKnown ? default : device.F32(Words), IsKnown ? 1 : 0, Known);

    /// <summary>The count as a kernel is given it.</summary>
    internal readonly record struct Argument(ArrayView<float> Words, int IsKnown, long Known)
    {
        public long Value => IsKnown != 0 ? Known : Join(Words[0], Words[1]);
    }
}
