using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// Sums of the ILGPU path, the same bits on every run: threads sum in float, a group adds its threads as a tree in shared memory
/// in double, and a second kernel adds the groups' partial sums as another tree. There are no atomics.
/// </summary>
internal static class GpuReduce
{
    /// <summary>Groups of a per-channel reduction: enough to fill the largest devices.</summary>
    public const int MostGroups = 1024;

    /// <summary>
    /// In a kernel, by all threads of a group of <see cref="ChannelGrid.Threads"/>: adds up the values that lie
    /// <paramref name="columns"/> (a power of two) apart; the sums are then the first <paramref name="columns"/> values.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tree(ArrayView<double> shared, double value, int columns)
    {
        int thread = Group.IdxX;
        shared[thread] = value;
        Group.Barrier();
        for (int half = ChannelGrid.Threads / 2; half >= columns; half /= 2)
        {
            if (thread < half)
                shared[thread] += shared[thread + half];
            Group.Barrier();
        }
    }

    /// <summary>Scratch memory for partial results.</summary>
    public static Scratch RentDoubles(GpuDevice device, long count, string owner) =>
        new(device, new Shape(checked((int)count), sizeof(double)), DType.U8, owner);

    public static ArrayView<double> Doubles(GpuDevice device, TensorView scratch) => device.U8(scratch).Cast<double>();

    /// <summary>y[c] (+)= Σ over chunks of partial[c·chunks + chunk].</summary>
    public static void SumChunks(GpuDevice device, ArrayView<double> partial, int chunks, TensorView y, bool accumulate) =>
        device.Launch(SumChunksKernel, y.Length, ChannelGrid.Threads, new SumArguments(partial, device.F32(y), chunks, accumulate ? 1 : 0));

    internal readonly record struct SumArguments(ArrayView<double> Partial, ArrayView<float> Y, int Chunks, int Accumulate);

    private static void SumChunksKernel(SumArguments a)
    {
        var shared = SharedMemory.Allocate<double>(ChannelGrid.Threads);
        int channel = Grid.IdxX;
        double sum = 0;
        for (int chunk = Group.IdxX; chunk < a.Chunks; chunk += ChannelGrid.Threads)
            sum += a.Partial[(long)channel * a.Chunks + chunk];
        Tree(shared, sum, 1);
        if (Group.IdxX == 0)
            a.Y[channel] = a.Accumulate != 0 ? a.Y[channel] + (float)shared[0] : (float)shared[0];
    }
}
