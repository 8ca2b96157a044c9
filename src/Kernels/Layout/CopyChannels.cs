using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// to[row, toChannel + c] (+)= from[row, fromChannel + c] for c &lt; channels and every row (all dimensions but the last):
/// concatenation along channels is one such copy per part, its gradient the copies the other way round. One pass, threads over rows.
/// </summary>
internal readonly unsafe record struct CopyChannels(
    TensorView From, TensorView To, int FromChannel, int ToChannel, int Channels, bool Accumulate) : IKernel
{
    private const int RowsPerThread = 4;

    public Cost Cost => new(Accumulate ? Rows * (double)Channels : 0, Rows * (double)Channels * sizeof(float) * (Accumulate ? 3 : 2));

    private long Rows => Channels == 0 ? 0 : From.Shape.Rows;

    public void Validate()
    {
        const string Name = nameof(CopyChannels);
        Check.That(!From.IsNone && From.Type == DType.F32 && From.Shape.Rank > 0, Name, "from", "f32 of rank 1 or more", From);
        Check.That(!To.IsNone && To.Type == DType.F32 && To.Shape.Rank == From.Shape.Rank, Name, "to", $"f32 of rank {From.Shape.Rank}", To);
        for (int axis = 0; axis < From.Shape.Rank - 1; axis++)
            Check.That(To.Shape[axis] == From.Shape[axis], Name, "to", $"the rows of from {From}", To);
        Check.That(Channels >= 0, Name, "channels", "a count", Channels);
        Check.That(FromChannel >= 0 && FromChannel + Channels <= From.Shape.Channels, Name, "from", $"channels {FromChannel} to {FromChannel + Channels}", From);
        Check.That(ToChannel >= 0 && ToChannel + Channels <= To.Shape.Channels, Name, "to", $"channels {ToChannel} to {ToChannel + Channels}", To);
        Check.Apart(Name, "from", From, "to", To);
    }

    public void Run(CpuDevice device)
    {
        var rows = new Body(From.F32 + FromChannel, From.Shape.Channels, To.F32 + ToChannel, To.Shape.Channels, Channels, Accumulate);
        device.For(checked((int)Rows), rows, VectorRange.Grain(Channels));
    }

    public void Run(GpuDevice device)
    {
        var grid = new ChannelGrid(Rows, Channels, RowsPerThread);
        device.Launch(Kernel, grid.Groups, ChannelGrid.Threads, new Arguments(
            device.F32(From), device.F32(To), grid, FromChannel, From.Shape.Channels, ToChannel, To.Shape.Channels, Accumulate ? 1 : 0));
    }

    internal readonly record struct Arguments(
        ArrayView<float> From, ArrayView<float> To, ChannelGrid Grid, int FromChannel, int FromStride, int ToChannel, int ToStride, int Accumulate);

    private static void Kernel(Arguments a)
    {
        int channel = a.Grid.Channel, end = a.Grid.EndRow, step = a.Grid.Step;
        if (channel >= a.Grid.Channels)
            return;
        for (int row = a.Grid.FirstRow; row < end; row += step)
        {
            long to = (long)row * a.ToStride + a.ToChannel + channel;
            float value = a.From[(long)row * a.FromStride + a.FromChannel + channel];
            a.To[to] = a.Accumulate != 0 ? a.To[to] + value : value;
        }
    }

    private readonly struct Body(float* from, int fromStride, float* to, int toStride, int channels, bool accumulate) : IVectorRange
    {
        public void Invoke<TVector>(int start, int end, int worker) where TVector : unmanaged, ISimd<TVector>
        {
            int vectors = channels / TVector.Count * TVector.Count;
            Columns<TVector>(start, end, 0, vectors);
            Columns<F32x1>(start, end, vectors, channels);
        }

        [MethodImpl(HotLoop.Options)]
        private void Columns<TVector>(int start, int end, int first, int last) where TVector : unmanaged, ISimd<TVector>
        {
            if (first == last)
                return;
            bool add = accumulate;
            for (int row = start; row < end; row++)
            {
                float* source = from + (long)row * fromStride, target = to + (long)row * toStride;
                for (int c = first; c < last; c += TVector.Count)
                    TVector.Store(add ? TVector.Load(target + c) + TVector.Load(source + c) : TVector.Load(source + c), target + c);
            }
        }
    }
}
