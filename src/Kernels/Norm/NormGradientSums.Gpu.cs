using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>The ILGPU path: the two sums of <see cref="GpuReduce"/>, four rows of a thread at a time.</summary>
internal readonly unsafe partial record struct NormGradientSums
{
    private const int RowsPerThread = 32;

    public void Run(GpuDevice device)
    {
        var grid = new ImageGrid(Layout, RowsPerThread, GpuReduce.MostGroups);
        long count = (long)Layout.Images * Layout.Channels * grid.One.Chunks;
        using var scratch = GpuReduce.RentDoubles(device, 2 * count, nameof(NormGradientSums));
        var partial = GpuReduce.Doubles(device, scratch);
        ArrayView<double> sums = partial.SubView(0, count), centred = partial.SubView(count, count);
        var y = device.F32(Activation.Kind == ActivationKind.None ? GradY : Y); // any view will do: the factor is 1
        device.Launch(ChunkKernel, grid.Groups, ChannelGrid.Threads,
            new ChunkArguments(device.F32(X), y, device.F32(GradY), device.F32(Mean), sums, centred, grid, Activation.Factor));
        GpuReduce.SumChunks(device, sums, grid.One.Chunks, SumGrad, accumulate: false);
        GpuReduce.SumChunks(device, centred, grid.One.Chunks, SumGradCentred, accumulate: false);
    }

    internal readonly record struct ChunkArguments(
        ArrayView<float> X, ArrayView<float> Y, ArrayView<float> GradY, ArrayView<float> Mean, ArrayView<double> Sums, ArrayView<double> Centred,
        ImageGrid Grid, float Factor);

    private static void ChunkKernel(ChunkArguments a)
    {
        var shared = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        int channel = a.Grid.Channel, row = a.Grid.FirstRow, end = a.Grid.EndRow, step = a.Grid.One.Step;
        float sum = 0, centred = 0;
        if (channel < a.Grid.Layout.Channels)
        {
            float mean = a.Mean[a.Grid.OfGroup];
            long at = a.Grid.At(row), stride = a.Grid.Stride;
            for (; row + 3 * step < end; row += 4 * step, at += 4 * stride)
            {
                long second = at + stride, third = second + stride, fourth = third + stride;
                float g0 = Activation.Gradient(a.Y[at], a.GradY[at], a.Factor), g1 = Activation.Gradient(a.Y[second], a.GradY[second], a.Factor);
                float g2 = Activation.Gradient(a.Y[third], a.GradY[third], a.Factor), g3 = Activation.Gradient(a.Y[fourth], a.GradY[fourth], a.Factor);
                float d0 = a.X[at] - mean, d1 = a.X[second] - mean, d2 = a.X[third] - mean, d3 = a.X[fourth] - mean;
                sum += (g0 + g1) + (g2 + g3);
                centred += (g0 * d0 + g1 * d1) + (g2 * d2 + g3 * d3);
            }
            for (; row < end; row += step, at += stride)
            {
                float g = Activation.Gradient(a.Y[at], a.GradY[at], a.Factor);
                sum += g;
                centred += g * (a.X[at] - mean);
            }
        }
        int columns = a.Grid.One.Columns;
        bool writes = Group.IdxX < columns && channel < a.Grid.Layout.Channels;
        long to = a.Grid.OfChannel * a.Grid.One.Chunks + a.Grid.Chunk;
        GpuReduce.Tree(shared, sum, columns);
        if (writes)
            a.Sums[to] = shared[Group.IdxX];
        // The second tree begins in the same memory.
        Group.Barrier();
        GpuReduce.Tree(shared, centred, columns);
        if (writes)
            a.Centred[to] = shared[Group.IdxX];
    }
}
