using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// gradBias[c] (+)= Σ over all rows of gradY[row,c]: the gradient of a bias. GradY (...,C), GradBias (C).
/// Rows are summed in chunks of a fixed length, one lane a channel; the sums of the chunks are added in order, in double precision.
/// </summary>
internal readonly record struct ChannelSum(TensorView GradY, TensorView GradBias, bool Accumulate = false) : IKernel, ISimdBody
{
    private const int RowsPerChunk = 1024;

    public Cost Cost => new(GradY.Length, GradY.Bytes + GradBias.Bytes);

    public void Validate()
    {
        if (GradY.IsNone || GradY.Type != DType.F32)
            throw new KernelException($"{nameof(ChannelSum)}: gradY expects f32 but is {GradY}");
        Check.Shape(nameof(ChannelSum), "gradBias", GradBias, new Shape(GradY.Shape.Channels));
        Check.Apart(nameof(ChannelSum), "gradY", GradY, "gradBias", GradBias);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int channels = GradY.Shape.Channels, chunks = checked((int)((GradY.Shape.Rows + RowsPerChunk - 1) / RowsPerChunk));
        var partials = device.Rent(new Shape(chunks, channels), DType.F32, nameof(ChannelSum));
        device.Team.For(chunks, new Body<TVector> { From = GradY.F32, To = partials.F32, Rows = GradY.Shape.Rows, Channels = channels });
        float* to = GradBias.F32, from = partials.F32;
        for (int c = 0; c < channels; c++)
        {
            double sum = Accumulate ? to[c] : 0;
            for (long chunk = 0; chunk < chunks; chunk++)
                sum += from[chunk * channels + c];
            to[c] = (float)sum;
        }
        device.Return(partials);
    }

    private unsafe struct Body<TVector> : IRangeBody where TVector : unmanaged, ISimd<TVector>
    {
        public float* From, To;
        public long Rows;
        public int Channels;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (long chunk = start; chunk < end; chunk++)
            {
                float* from = From + chunk * RowsPerChunk * Channels, to = To + chunk * Channels;
                int rows = (int)Math.Min(RowsPerChunk, Rows - chunk * RowsPerChunk), c = 0, lanes = TVector.Count;
                for (; c + 4 * lanes <= Channels; c += 4 * lanes)
                    SumFour(from + c, rows, to + c);
                for (; c + lanes <= Channels; c += lanes)
                    SumOne<TVector>(from + c, rows, to + c);
                for (; c < Channels; c++)
                    SumOne<F32x1>(from + c, rows, to + c);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void SumFour(float* from, int rows, float* to)
        {
            int lanes = TVector.Count;
            TVector s0 = TVector.Zero, s1 = s0, s2 = s0, s3 = s0;
            for (; rows > 0; rows--, from += Channels)
            {
                s0 += TVector.Load(from);
                s1 += TVector.Load(from + lanes);
                s2 += TVector.Load(from + 2 * lanes);
                s3 += TVector.Load(from + 3 * lanes);
            }
            TVector.Store(s0, to);
            TVector.Store(s1, to + lanes);
            TVector.Store(s2, to + 2 * lanes);
            TVector.Store(s3, to + 3 * lanes);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void SumOne<TLanes>(float* from, int rows, float* to) where TLanes : unmanaged, ISimd<TLanes>
        {
            var sum = TLanes.Zero;
            for (; rows > 0; rows--, from += Channels)
                sum += TLanes.Load(from);
            TLanes.Store(sum, to);
        }
    }
}
