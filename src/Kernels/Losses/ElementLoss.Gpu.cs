using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// <see cref="ElementLoss{TLoss}"/> on the ILGPU path: neighbouring threads take neighbouring elements, each thread
/// <see cref="GpuSums.PerThread"/> of them; the sums are those of <see cref="GpuSums"/>.
/// </summary>
internal static class ElementLoss
{
    /// <param name="columns">Length of a row, for a loss with a number per channel; else 0.</param>
    public static void Run<TLoss>(
        GpuDevice device, TLoss loss, TensorView x, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
        LossFactor factor, int columns) where TLoss : struct, IElementLoss
    {
        long groups = GpuSums.Groups(x.Length);
        using var sums = new GpuSums(device, groups, nameof(ElementLoss));
        device.Launch(Kernel, groups, GpuSums.GroupSize, new Arguments<TLoss>(
            device.F32(x), device.F32(target), device.F32(weight), device.F32(elements), device.F32(gradient), sums.Partial, factor, columns, loss));
        sums.Total(total, factor);
    }

    internal readonly record struct Arguments<TLoss>(
        ArrayView<float> X, ArrayView<float> Target, ArrayView<float> Weight, ArrayView<float> Elements, ArrayView<float> Gradient,
        ArrayView<double> Partial, LossFactor Factor, int Columns, TLoss Loss) where TLoss : struct, IElementLoss;

    private static void Kernel<TLoss>(Arguments<TLoss> a) where TLoss : struct, IElementLoss
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        long start = (long)Grid.IdxX * (GpuSums.GroupSize * GpuSums.PerThread) + Group.IdxX;
        float factor = a.Factor.Value;
        double sum = 0;
        for (int k = 0; k < GpuSums.PerThread; k++)
        {
            long i = start + k * GpuSums.GroupSize;
            if (i < a.X.Length)
            {
                int column = a.Columns == 0 ? 0 : (int)(i % a.Columns);
                float value = a.Loss.Invoke(F32x1.Create(a.X[i]), F32x1.Create(a.Target[i]), column, out var slope).Value;
                float weight = a.Weight.Length == 0 ? 1 : a.Weight[i];
                value *= weight;
                if (a.Elements.Length != 0)
                    a.Elements[i] = value;
                if (a.Gradient.Length != 0)
                    a.Gradient[i] = slope.Value * weight * factor;
                sum += value;
            }
        }
        sum = GpuSums.OfGroup(shared, sum);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }
}
