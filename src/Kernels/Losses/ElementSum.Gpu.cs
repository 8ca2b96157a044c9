using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary><see cref="ElementSum{TTerm}"/> on the ILGPU path, by <see cref="GpuSums"/>.</summary>
internal static class ElementSum
{
    public static void Run<TTerm>(GpuDevice device, TTerm term, TensorView x, TensorView total) where TTerm : unmanaged, IElementTerm
    {
        long groups = GpuSums.Groups(x.Length);
        using var sums = new GpuSums(device, groups, nameof(ElementSum));
        device.Launch(Kernel, groups, GpuSums.GroupSize, new Arguments<TTerm>(device.F32(x), sums.Partial, term));
        sums.Total(total, LossFactor.One);
    }

    internal readonly record struct Arguments<TTerm>(ArrayView<float> X, ArrayView<double> Partial, TTerm Term) where TTerm : unmanaged, IElementTerm;

    private static void Kernel<TTerm>(Arguments<TTerm> a) where TTerm : unmanaged, IElementTerm
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        long start = (long)Grid.IdxX * (GpuSums.GroupSize * GpuSums.PerThread) + Group.IdxX;
        double sum = 0;
        for (int k = 0; k < GpuSums.PerThread; k++)
        {
            long i = start + k * GpuSums.GroupSize;
            if (i < a.X.Length)
                sum += TTerm.Invoke(F32x1.Create(a.X[i])).Value;
        }
        sum = GpuSums.OfGroup(shared, sum);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }
}
