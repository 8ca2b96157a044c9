using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// <see cref="ElementLoss{TLoss}"/> on the ILGPU path: neighbouring threads take neighbouring elements, or neighbouring fours, each thread
/// <see cref="GpuSums.PerThread"/> elements; the sums are those of <see cref="GpuSums"/>.
/// </summary>
internal static class ElementLoss
{
    /// <param name="columns">Length of a row, for a loss with a number per channel; else 0.</param>
    public static void Run<TLoss>(
        GpuDevice device, TLoss loss, TensorView x, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
        LossFactor factor, int columns) where TLoss : struct, IElementLoss
    {
        // A number per channel is looked up for one element at a time.
        if (columns == 0 && GpuLanes.ByFour(x.Length, x, target, weight, elements, gradient))
            Run<TLoss, Quad<F32x1>>(device, loss, x, target, weight, total, elements, gradient, factor, columns);
        else
            Run<TLoss, F32x1>(device, loss, x, target, weight, total, elements, gradient, factor, columns);
    }

    private static void Run<TLoss, T>(
        GpuDevice device, TLoss loss, TensorView x, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
        LossFactor factor, int columns) where TLoss : struct, IElementLoss where T : unmanaged, ISimd<T>
    {
        long groups = GpuSums.Groups(x.Length);
        using var sums = new GpuSums(device, groups, nameof(ElementLoss));
        device.Launch(Kernel, groups, GpuSums.GroupSize, new Arguments<TLoss, T>(
            GpuLanes.Of<T>(device, x), GpuLanes.Of<T>(device, target), GpuLanes.Of<T>(device, weight), GpuLanes.Of<T>(device, elements),
            GpuLanes.Of<T>(device, gradient), sums.Partial, factor, columns, loss));
        sums.Total(total, factor);
    }

    internal readonly record struct Arguments<TLoss, T>(
        ArrayView<T> X, ArrayView<T> Target, ArrayView<T> Weight, ArrayView<T> Elements, ArrayView<T> Gradient,
        ArrayView<double> Partial, LossFactor Factor, int Columns, TLoss Loss) where TLoss : struct, IElementLoss where T : unmanaged, ISimd<T>;

    private static void Kernel<TLoss, T>(Arguments<TLoss, T> a) where TLoss : struct, IElementLoss where T : unmanaged, ISimd<T>
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        int steps = GpuSums.PerThread / T.Count;
        long start = (long)Grid.IdxX * (GpuSums.GroupSize * steps) + Group.IdxX;
        var factor = T.Create(a.Factor.Value);
        double sum = 0;
        for (int k = 0; k < steps; k++)
        {
            long i = start + k * GpuSums.GroupSize;
            if (i < a.X.Length)
            {
                int column = a.Columns == 0 ? 0 : (int)(i % a.Columns);
                var value = a.Loss.Invoke(a.X[i], a.Target[i], column, out var slope);
                if (a.Weight.Length != 0)
                {
                    var weight = a.Weight[i];
                    value *= weight;
                    slope *= weight;
                }
                if (a.Elements.Length != 0)
                    a.Elements[i] = value;
                if (a.Gradient.Length != 0)
                    a.Gradient[i] = slope * factor;
                sum += T.Sum(value);
            }
        }
        sum = GpuSums.OfGroup(shared, sum);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }
}
