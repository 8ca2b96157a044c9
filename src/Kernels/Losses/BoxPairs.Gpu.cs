using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// <see cref="BoxPairs{TPairs}"/> on the ILGPU path: one thread a pair, the sums by <see cref="GpuSums"/>. A thread takes one pair only:
/// on a map that is mostly empty the groups that have work are few.
/// </summary>
internal static class BoxPairs
{
    public static void Run<TPairs>(
        GpuDevice device, TPairs pairs, TensorView prediction, TensorView target, TensorView weight, TensorView total, TensorView elements, TensorView gradient,
        LossFactor factor, float offset, float epsilon) where TPairs : unmanaged, IBoxPairs
    {
        long length = prediction.Length / 4, groups = (length + GpuSums.GroupSize - 1) / GpuSums.GroupSize;
        using var sums = new GpuSums(device, groups, nameof(BoxPairs));
        device.Launch(Kernel, groups, GpuSums.GroupSize, new Arguments<TPairs>(
            device.F32(prediction), device.F32(target), device.F32(weight), device.F32(elements), device.F32(gradient), sums.Partial, length,
            factor, offset, epsilon, pairs));
        sums.Total(total, factor);
    }

    internal readonly record struct Arguments<TPairs>(
        ArrayView<float> Prediction, ArrayView<float> Target, ArrayView<float> Weight, ArrayView<float> Elements, ArrayView<float> Gradient,
        ArrayView<double> Partial, long Length, LossFactor Factor, float Offset, float Epsilon, TPairs Pairs) where TPairs : unmanaged, IBoxPairs;

    private static void Kernel<TPairs>(Arguments<TPairs> a) where TPairs : unmanaged, IBoxPairs
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        long i = Grid.GlobalLinearIndex;
        float loss = 0;
        if (i < a.Length)
        {
            float weight = a.Weight.Length == 0 ? 1 : a.Weight[i];
            var slope = new BoxNumbers(0, 0, 0, 0);
            if (a.Pairs.Counts(weight))
            {
                var box = a.Pairs.Predicted(Read(a.Prediction, 4 * i), i);
                var other = Read(a.Target, 4 * i);
                loss = weight * GiouMath.Loss(
                    F32x1.Create(box.X1), F32x1.Create(box.Y1), F32x1.Create(box.X2), F32x1.Create(box.Y2),
                    F32x1.Create(other.X1), F32x1.Create(other.Y1), F32x1.Create(other.X2), F32x1.Create(other.Y2),
                    a.Offset, a.Epsilon, out var g1, out var g2, out var g3, out var g4).Value;
                weight *= a.Factor.Value;
                slope = a.Pairs.Gradient(new BoxNumbers(g1.Value * weight, g2.Value * weight, g3.Value * weight, g4.Value * weight));
            }
            if (a.Elements.Length != 0)
                a.Elements[i] = loss;
            if (a.Gradient.Length != 0)
                Write(a.Gradient, 4 * i, slope);
        }
        double sum = GpuSums.OfGroup(shared, loss);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }

    private static BoxNumbers Read(ArrayView<float> from, long at) => new(from[at], from[at + 1], from[at + 2], from[at + 3]);

    private static void Write(ArrayView<float> to, long at, BoxNumbers box)
    {
        to[at] = box.X1;
        to[at + 1] = box.Y1;
        to[at + 2] = box.X2;
        to[at + 3] = box.Y2;
    }
}
