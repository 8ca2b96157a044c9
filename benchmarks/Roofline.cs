using System.Diagnostics;
using System.Runtime.CompilerServices;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Benchmarks;

/// <summary>
/// What a processor device reaches at most, measured when it is made: multiply-adds between registers, and a block far larger than any
/// cache changed in place, where a byte counts when it is read and when it is written (a copy would also read what it overwrites, uncounted).
/// Of many short tries the fastest: other programs on the machine disturb few of them.
/// </summary>
internal sealed unsafe class Roofline
{
    private const int Tries = 200, Rounds = 1 << 17, Accumulators = 12, Block = 32 << 20;

    public Roofline(CpuDevice device)
    {
        device.Dispatch(new Multiplications()); // compiles
        double floats = 2.0 * Accumulators * Rounds * (int)device.Width * device.Team.Threads;
        FlopsPerSecond = floats / Fastest(Tries, () => device.Dispatch(new Multiplications()));

        var block = device.Rent(new Shape(Block), DType.F32, "roofline");
        device.Fill(block, 0);
        BytesPerSecond = 2.0 * block.Bytes / Fastest(Tries, () => device.Dispatch(new Change(block)));
        device.Return(block);
    }

    public double FlopsPerSecond { get; }

    public double BytesPerSecond { get; }

    /// <summary>The least time that work can take: what it computes or what it moves, whichever takes longer.</summary>
    public double Seconds(Cost cost) => Math.Max(cost.Flops / FlopsPerSecond, cost.Bytes / BytesPerSecond);

    /// <summary>Seconds of the fastest of some repetitions.</summary>
    public static double Fastest(int tries, Action work)
    {
        double best = double.MaxValue;
        for (int i = 0; i < tries; i++)
        {
            long start = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }

    /// <summary>A task a thread.</summary>
    private readonly struct Multiplications : ISimdBody
    {
        public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector> =>
            device.Team.For(device.Team.Threads, new Chain<TVector>());
    }

    /// <summary>a ← a·b + c in as many independent chains as hide the latency of a multiply-add and still fit the registers.</summary>
    private struct Chain<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Invoke(int start, int end, int worker)
        {
            TVector b = TVector.Create(0.5f), c = TVector.Create(1);
            TVector a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c, a9 = c, a10 = c, a11 = c;
            for (int round = 0; round < Rounds; round++)
            {
                a0 = TVector.Fma(a0, b, c);
                a1 = TVector.Fma(a1, b, c);
                a2 = TVector.Fma(a2, b, c);
                a3 = TVector.Fma(a3, b, c);
                a4 = TVector.Fma(a4, b, c);
                a5 = TVector.Fma(a5, b, c);
                a6 = TVector.Fma(a6, b, c);
                a7 = TVector.Fma(a7, b, c);
                a8 = TVector.Fma(a8, b, c);
                a9 = TVector.Fma(a9, b, c);
                a10 = TVector.Fma(a10, b, c);
                a11 = TVector.Fma(a11, b, c);
            }
            float sum = TVector.Sum(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11);
            if (!float.IsFinite(sum)) // reads the result, so that the loop stays
                throw new InvalidOperationException($"Roofline: the chains end at {sum}");
        }
    }

    private readonly struct Change(TensorView block) : ISimdBody
    {
        public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector> =>
            device.Team.For(Block / TVector.Count, new Addition<TVector> { Values = block.F32 });
    }

    private struct Addition<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* Values;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Invoke(int start, int end, int worker)
        {
            var one = TVector.Create(1);
            float* last = Values + (nint)end * TVector.Count;
            for (float* at = Values + (nint)start * TVector.Count; at < last; at += TVector.Count)
                TVector.Store(TVector.Load(at) + one, at);
        }
    }
}
