using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// gradBias[c] (+)= Σ over all rows of gradY[row,c]: the gradient of a bias. GradY (...,C), GradBias (C).
/// Rows are summed in chunks of a fixed length, one lane a channel; the sums of the chunks are added in order, in double precision.
/// </summary>
internal readonly record struct ChannelSum(TensorView GradY, TensorView GradBias, bool Accumulate = false) : IKernel, ISimdBody
{
    private const int RowsPerChunk = 1024;
    private const int GpuChannels = 32, GpuLanes = GpuDevice.GroupSize / GpuChannels, GpuChunks = 256, GpuLeastRows = 64;

    public Cost Cost => new(GradY.Length, GradY.Bytes + GradBias.Bytes);

    public void Validate()
    {
        if (GradY.IsNone || GradY.Type != DType.F32)
            throw new KernelException($"{nameof(ChannelSum)}: gradY expects f32 but is {GradY}");
        Check.Shape(nameof(ChannelSum), "gradBias", GradBias, new Shape(GradY.Shape.Channels));
        Check.Apart(nameof(ChannelSum), "gradY", GradY, "gradBias", GradBias);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    /// <summary>
    /// A group sums 32 channels of one chunk of rows, eight rows at a time, and adds the eight sums as a tree; the sums of the chunks are
    /// added in order, in double precision. The number of chunks follows from the rows.
    /// </summary>
    public void Run(GpuDevice device)
    {
        int channels = GradY.Shape.Channels;
        long rows = GradY.Shape.Rows;
        int chunks = (int)Math.Clamp(rows / GpuLeastRows, 1, GpuChunks);
        var partials = device.Rent(new Shape(chunks, channels), DType.F32, nameof(ChannelSum));
        var arguments = new Arguments(device.F32(GradY), device.F32(partials), device.F32(GradBias), rows, channels, chunks, Accumulate ? 1 : 0);
        device.Launch(SumChunks, (long)chunks * ((channels + GpuChannels - 1) / GpuChannels), GpuDevice.GroupSize, arguments);
        device.LaunchFor(AddChunks, channels, arguments);
        device.Return(partials);
    }

    internal readonly record struct Arguments(
        ArrayView<float> GradY, ArrayView<float> Partials, ArrayView<float> GradBias, long Rows, int Channels, int Chunks, int Accumulate);

    private static void SumChunks(Arguments a)
    {
        var sums = SharedMemory.Allocate<float>(GpuDevice.GroupSize);
        int blocks = (a.Channels + GpuChannels - 1) / GpuChannels, chunk = Grid.IdxX / blocks;
        int thread = Group.IdxX, lane = thread / GpuChannels, channel = Grid.IdxX % blocks * GpuChannels + thread % GpuChannels;
        long last = a.Rows * (chunk + 1) / a.Chunks;
        float sum = 0;
        if (channel < a.Channels)
            for (long row = a.Rows * chunk / a.Chunks + lane; row < last; row += GpuLanes)
                sum += a.GradY[row * a.Channels + channel];
        sums[thread] = sum;
        Group.Barrier();
        for (int half = GpuLanes / 2; half > 0; half /= 2)
        {
            if (lane < half)
                sums[thread] += sums[thread + half * GpuChannels];
            Group.Barrier();
        }
        if (lane == 0 && channel < a.Channels)
            a.Partials[(long)chunk * a.Channels + channel] = sums[thread];
    }

    private static void AddChunks(Arguments a)
    {
        long channel = Grid.GlobalLinearIndex;
        if (channel >= a.Channels)
            return;
        double sum = a.Accumulate != 0 ? a.GradBias[channel] : 0;
        for (int chunk = 0; chunk < a.Chunks; chunk++)
            sum += a.Partials[(long)chunk * a.Channels + channel];
        a.GradBias[channel] = (float)sum;
    }

    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        int channels = GradY.Shape.Channels, chunks = checked((int)((GradY.Shape.Rows + RowsPerChunk - 1) / RowsPerChunk));
        using var partials = new Scratch(device, new Shape(chunks, channels), DType.F32, nameof(ChannelSum));
        device.Team.For(chunks, new Body<TVector> { From = GradY.F32, To = partials.F32, Rows = GradY.Shape.Rows, Channels = channels });
        float* to = GradBias.F32, from = partials.F32;
        for (int c = 0; c < channels; c++)
        {
            double sum = Accumulate ? to[c] : 0;
            for (long chunk = 0; chunk < chunks; chunk++)
                sum += from[chunk * channels + c];
            to[c] = (float)sum;
        }
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

        [MethodImpl(HotLoop.Options)]
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

        [MethodImpl(HotLoop.Options)]
        private readonly void SumOne<TLanes>(float* from, int rows, float* to) where TLanes : unmanaged, ISimd<TLanes>
        {
            var sum = TLanes.Zero;
            for (; rows > 0; rows--, from += Channels)
                sum += TLanes.Load(from);
            TLanes.Store(sum, to);
        }
    }
}
