using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels.Devices;

/// <summary>As <see cref="IRangeBody"/>, with the vector type of the device as type argument.</summary>
internal interface IVectorRange
{
    void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>;
}

internal static class VectorRange
{
    /// <summary>Elements of memory-bound work a thread should have at least: less is done before another thread has woken.</summary>
    public const int WorthwhileElements = 8192;

    /// <summary>Vector type from the device, tasks over its team: what nearly every memory-bound kernel needs.</summary>
    public static void For<TBody>(this CpuDevice device, int count, TBody body, int grain = 1) where TBody : unmanaged, IVectorRange =>
        device.Dispatch(new Dispatched<TBody>(count, body, grain));

    /// <summary>Grain for tasks of so many elements each.</summary>
    public static int Grain(long elementsPerTask) => (int)Math.Max(1, WorthwhileElements / Math.Max(1, elementsPerTask));

    private readonly struct Dispatched<TBody>(int count, TBody body, int grain) : ISimdBody where TBody : unmanaged, IVectorRange
    {
        public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector> =>
            device.Team.For(count, new Typed<TBody, TVector>(body), grain);
    }

    private readonly struct Typed<TBody, TVector>(TBody body) : IRangeBody
        where TBody : unmanaged, IVectorRange where TVector : unmanaged, ISimd<TVector>
    {
        public void Invoke(int start, int end, int worker) => body.Invoke<TVector>(start, end, worker);
    }
}
