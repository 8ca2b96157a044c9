using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>What one element adds to a sum.</summary>
internal interface IElementTerm
{
    static abstract TVector Invoke<TVector>(TVector x) where TVector : unmanaged, ISimd<TVector>;
}

/// <summary>total[0] = Σ term(x): lanes within a block, blocks and chunks in double, all in an order fixed by the length.</summary>
internal readonly unsafe struct ElementSum<TTerm>(TensorView x, TensorView total) : ISimdBody where TTerm : unmanaged, IElementTerm
{
    private const int Chunk = 65536, Block = 2048;

    public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int chunks = (int)((x.Length + Chunk - 1) / Chunk);
        using var sums = new ChunkSums(device, chunks, nameof(ElementSum<TTerm>));
        device.Team.For(chunks, new Body<TVector> { X = x.F32, Sums = sums.Values, Length = x.Length });
        *total.F32 = (float)sums.Total();
    }

    private struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* X;
        public double* Sums;
        public long Length;

        [MethodImpl(HotLoop.Options)]
        public void Invoke(int start, int end, int worker)
        {
            for (int chunk = start; chunk < end; chunk++)
            {
                long from = (long)chunk * Chunk, to = Math.Min(Length, from + Chunk);
                double sum = 0;
                for (long block = from; block < to; block += Block)
                    sum += Range(X + block, (int)Math.Min(Block, to - block));
                Sums[chunk] = sum;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static double Range(float* x, int count)
        {
            TVector a = TVector.Zero, b = TVector.Zero;
            int i = 0;
            for (; i <= count - 2 * TVector.Count; i += 2 * TVector.Count)
            {
                a += TTerm.Invoke(TVector.Load(x + i));
                b += TTerm.Invoke(TVector.Load(x + i + TVector.Count));
            }
            var rest = F32x1.Zero;
            for (; i < count; i++)
                rest += TTerm.Invoke(F32x1.Load(x + i));
            return (double)TVector.Sum(a + b) + F32x1.Sum(rest);
        }
    }
}
