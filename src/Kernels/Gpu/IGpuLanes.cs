using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// What a thread of the ILGPU path reads of a row of channels at once: one float, or four through 128-bit accesses where the addresses allow it.
/// Kernels that move memory are written once over this and compiled for both.
/// </summary>
internal interface IGpuLanes<T> where T : unmanaged, IGpuLanes<T>
{
    /// <summary>Floats.</summary>
    static abstract int Count { get; }

    static abstract T Create(float value);

    static abstract T Add(T a, T b);

    /// <summary>a·b + c.</summary>
    static abstract T MultiplyAdd(float a, T b, T c);
}

/// <summary>One float.</summary>
internal struct F1(float value) : IGpuLanes<F1>
{
    public float X = value;

    public static int Count => 1;

    public static F1 Create(float value) => new(value);

    public static F1 Add(F1 a, F1 b) => new(a.X + b.X);

    public static F1 MultiplyAdd(float a, F1 b, F1 c) => new(a * b.X + c.X);
}

/// <summary>Which lanes views allow.</summary>
internal static class GpuLanes
{
    /// <summary>Whether rows of so many channels can be read four floats at a time in all views; a view that is absent does not mind.</summary>
    public static bool ByFour(int channels, params ReadOnlySpan<TensorView> views)
    {
        foreach (var view in views)
            if (!view.IsNone && view.Offset % F4.Count != 0)
                return false;
        return channels % F4.Count == 0;
    }

    public static ArrayView<T> Of<T>(GpuDevice device, TensorView view) where T : unmanaged, IGpuLanes<T> =>
        view.IsNone ? default : device.F32(view).Cast<T>();
}
