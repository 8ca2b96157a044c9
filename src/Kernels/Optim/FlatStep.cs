using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The arithmetic of one optimizer on one element.</summary>
internal interface IFlatStep
{
    /// <summary>New value; the two state numbers are updated in place.</summary>
    TVector Invoke<TVector>(TVector value, TVector gradient, ref TVector first, ref TVector second) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>The loop of every optimizer: one pass over flat blocks of values, gradients and up to two state numbers.</summary>
internal static unsafe class FlatStep
{
    public static void Validate(string operation, TensorView value, TensorView gradient, TensorView guard)
    {
        Check.That(!value.IsNone && value.Type == DType.F32, operation, "value", "f32", value);
        Check.Shape(operation, "gradient", gradient, value.Shape);
        Check.Apart(operation, "gradient", gradient, "value", value);
        Check.Optional(operation, "guard", guard, new Shape(2));
    }

    /// <summary>False when the guard says that the gradients are not finite: the step must change nothing.</summary>
    public static bool Active(TensorView guard, out float factor)
    {
        factor = guard.IsNone ? 1 : guard.F32[0];
        return guard.IsNone || guard.F32[1] != 0;
    }

    public static void Run<TStep>(CpuDevice device, TStep step, TensorView value, TensorView gradient, TensorView first, TensorView second)
        where TStep : unmanaged, IFlatStep =>
        device.Dispatch(new Dispatched<TStep>(step, value, gradient, first, second));

    /// <summary>
    /// The same on the other path: one thread an element, or four of them. The guard is read by the threads, and its factor scales the gradient before
    /// the step sees it: the host never waits for the norm.
    /// </summary>
    public static void Run<TStep>(GpuDevice device, TStep step, TensorView value, TensorView gradient, TensorView first, TensorView second, TensorView guard)
        where TStep : unmanaged, IFlatStep
    {
        if (GpuLanes.ByFour(value.Length, value, gradient, first, second))
            Run<TStep, Quad<F32x1>>(device, step, value, gradient, first, second, guard);
        else
            Run<TStep, F32x1>(device, step, value, gradient, first, second, guard);
    }

    private static void Run<TStep, T>(GpuDevice device, TStep step, TensorView value, TensorView gradient, TensorView first, TensorView second, TensorView guard)
        where TStep : unmanaged, IFlatStep where T : unmanaged, ISimd<T> =>
        device.LaunchFor(Kernel, value.Length / T.Count, new Arguments<TStep, T>(
            GpuLanes.Of<T>(device, value), GpuLanes.Of<T>(device, gradient), GpuLanes.Of<T>(device, first), GpuLanes.Of<T>(device, second),
            device.F32(guard), step));

    internal readonly record struct Arguments<TStep, T>(
        ArrayView<T> Value, ArrayView<T> Gradient, ArrayView<T> First, ArrayView<T> Second, ArrayView<float> Guard, TStep Step)
        where TStep : unmanaged, IFlatStep where T : unmanaged, ISimd<T>;

    private static void Kernel<TStep, T>(Arguments<TStep, T> a) where TStep : unmanaged, IFlatStep where T : unmanaged, ISimd<T>
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Value.Length)
            return;
        bool guarded = a.Guard.Length != 0, hasFirst = a.First.Length != 0, hasSecond = a.Second.Length != 0;
        if (guarded && a.Guard[1] == 0)
            return;
        var gradient = a.Gradient[i];
        if (guarded)
            gradient = T.Create(a.Guard[0]) * gradient;
        T first = T.Zero, second = T.Zero;
        if (hasFirst)
            first = a.First[i];
        if (hasSecond)
            second = a.Second[i];
        a.Value[i] = a.Step.Invoke(a.Value[i], gradient, ref first, ref second);
        if (hasFirst)
            a.First[i] = first;
        if (hasSecond)
            a.Second[i] = second;
    }

    private readonly struct Dispatched<TStep>(TStep step, TensorView value, TensorView gradient, TensorView first, TensorView second) : ISimdBody
        where TStep : unmanaged, IFlatStep
    {
        public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
        {
            int chunks = (int)((value.Length + Body<TVector, TStep>.Chunk - 1) / Body<TVector, TStep>.Chunk);
            device.Team.For(chunks, new Body<TVector, TStep>
            {
                Step = step,
                Value = value.F32,
                Gradient = gradient.F32,
                First = first.F32,
                Second = second.F32,
                Length = value.Length,
            });
        }
    }

    private struct Body<TVector, TStep> : IRangeBody
        where TVector : unmanaged, ISimd<TVector>
        where TStep : unmanaged, IFlatStep
    {
        public const int Chunk = 16384;

        public TStep Step;
        public float* Value, Gradient, First, Second;
        public long Length;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            long i = (long)start * Chunk, to = Math.Min(Length, (long)end * Chunk);
            for (; i <= to - TVector.Count; i += TVector.Count)
                Lanes<TVector>(i);
            for (; i < to; i++)
                Lanes<F32x1>(i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Lanes<TLanes>(long i) where TLanes : unmanaged, ISimd<TLanes>
        {
            var first = First == null ? TLanes.Zero : TLanes.Load(First + i);
            var second = Second == null ? TLanes.Zero : TLanes.Load(Second + i);
            TLanes.Store(Step.Invoke(TLanes.Load(Value + i), TLanes.Load(Gradient + i), ref first, ref second), Value + i);
            if (First != null)
                TLanes.Store(first, First + i);
            if (Second != null)
                TLanes.Store(second, Second + i);
        }
    }
}
