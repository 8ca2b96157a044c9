using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// A sum over a whole launch that has the same bits every time: each group of <see cref="GroupSize"/> threads adds what its threads
/// hold as a tree in shared memory, one partial sum a group goes to scratch, and one last group adds those: thread t the partial
/// sums t, t + 256, … in order, then again the tree. All of it in double.
/// </summary>
internal readonly struct GpuSums(GpuDevice device, long groups, string owner) : IDisposable
{
    public const int GroupSize = 256;

    /// <summary>Elements one thread adds up before the tree.</summary>
    public const int PerThread = 16;

    private readonly TensorView scratch = device.Rent(new Shape(checked((int)groups), 2), DType.I32, owner);

    /// <summary>Groups for <paramref name="count"/> elements.</summary>
    public static long Groups(long count) => (count + GroupSize * PerThread - 1) / (GroupSize * PerThread);

    /// <summary>One for each group.</summary>
    public ArrayView<double> Partial => device.I32(scratch).Cast<double>();

    /// <summary>total = factor · sum.</summary>
    public void Total(TensorView total, LossFactor factor) =>
        device.Launch(TotalKernel, 1, GroupSize, new Arguments(Partial, groups, device.F32(total), factor));

    public void Dispose() => device.Return(scratch);

    /// <summary>What the threads of a group hold, added up; the result is right in thread 0. Every thread must come here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double OfGroup(ArrayView<double> shared, double value)
    {
        GpuReduce.Tree(shared, value, 1);
        return shared[0];
    }

    /// <summary>This thread's share of the partial sums, for <see cref="OfGroup"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Share(ArrayView<double> partial, long count)
    {
        double sum = 0;
        for (long i = Group.IdxX; i < count; i += GroupSize)
            sum += partial[i];
        return sum;
    }

    internal readonly record struct Arguments(ArrayView<double> Partial, long Count, ArrayView<float> Total, LossFactor Factor);

    private static void TotalKernel(Arguments a)
    {
        var shared = SharedMemory.Allocate<double>(GroupSize);
        double sum = OfGroup(shared, Share(a.Partial, a.Count));
        if (Group.IdxX == 0)
            a.Total[0] = (float)(sum * a.Factor.Value);
    }
}
