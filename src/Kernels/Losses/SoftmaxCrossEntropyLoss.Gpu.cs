using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path: one group of 64 threads a row, neighbouring threads on neighbouring classes; maximum and sums as trees in shared
/// memory. A class out of range, an error on the CPU, makes the row and so the loss not-a-number.
/// </summary>
internal readonly unsafe partial record struct SoftmaxCrossEntropyLoss
{
    private const int RowThreads = 64;

    public void Run(GpuDevice device)
    {
        long rows = Logits.Shape.Rows;
        var factor = LossFactor.Of(device, Scale, Normalizer);
        using var sums = new GpuSums(device, rows, nameof(SoftmaxCrossEntropyLoss));
        device.Launch(RowKernel, rows, RowThreads, new Arguments(
            device.F32(Logits), device.I32(Target), device.F32(GradLogits), device.F32(Elements), device.F32(Weight), device.F32(ClassWeight),
            sums.Partial, factor, Logits.Shape.Channels, IgnoreIndex, LabelSmoothing));
        sums.Total(Loss, factor);
    }

    internal readonly record struct Arguments(
        ArrayView<float> Logits, ArrayView<int> Target, ArrayView<float> Gradient, ArrayView<float> Elements, ArrayView<float> Weight,
        ArrayView<float> ClassWeight, ArrayView<double> Partial, LossFactor Factor, int Classes, int Ignored, float Smoothing)
    {
        public float WeightOf(int category) => ClassWeight.Length == 0 ? 1 : ClassWeight[category];
    }

    private static void RowKernel(Arguments a)
    {
        var shared = SharedMemory.Allocate<float>(RowThreads);
        int row = Grid.IdxX, thread = Group.IdxX, target = a.Target[row];
        long start = (long)row * a.Classes;
        bool known = target >= 0 && target < a.Classes, ignored = target == a.Ignored;

        // Not-a-number anywhere must not get lost here; it comes back with the sum of the exponentials.
        float largest = float.NegativeInfinity;
        for (int c = thread; c < a.Classes; c += RowThreads)
            largest = Math.Max(largest, a.Logits[start + c]);
        largest = Largest(shared, largest);

        float exponentials = 0, weights = 0, distances = 0;
        for (int c = thread; c < a.Classes; c += RowThreads)
        {
            float below = a.Logits[start + c] - largest, weight = a.WeightOf(c);
            exponentials += GpuMath.Exp(below);
            weights += weight;
            distances += weight * -below;
        }
        exponentials = Sum(shared, exponentials);
        weights = Sum(shared, weights);
        distances = Sum(shared, distances);

        float logarithm = GpuMath.Log(exponentials), rowWeight = a.Weight.Length == 0 ? 1 : a.Weight[row];
        float own = known ? (1 - a.Smoothing) * a.WeightOf(target) : float.NaN, spread = a.Smoothing / a.Classes;
        float scale = rowWeight * a.Factor.Value;
        if (a.Gradient.Length != 0)
            for (int c = thread; c < a.Classes; c += RowThreads)
            {
                float p = GpuMath.Exp(a.Logits[start + c] - largest) / exponentials;
                float slope = (own + spread * weights) * p - spread * a.WeightOf(c) - (c == target ? own : 0);
                a.Gradient[start + c] = ignored ? 0 : slope * scale;
            }
        if (thread != 0)
            return;
        float loss = 0;
        if (!ignored)
        {
            loss = own * (largest - a.Logits[start + (known ? target : 0)] + logarithm);
            if (spread > 0)
                loss += spread * (distances + weights * logarithm);
            loss *= rowWeight;
        }
        if (a.Elements.Length != 0)
            a.Elements[row] = loss;
        a.Partial[row] = loss;
    }

    private static float Largest(ArrayView<float> shared, float value)
    {
        shared[Group.IdxX] = value;
        Group.Barrier();
        for (int step = RowThreads / 2; step > 0; step /= 2)
        {
            if (Group.IdxX < step)
                shared[Group.IdxX] = Math.Max(shared[Group.IdxX], shared[Group.IdxX + step]);
            Group.Barrier();
        }
        float result = shared[0];
        Group.Barrier();
        return result;
    }

    private static float Sum(ArrayView<float> shared, float value)
    {
        shared[Group.IdxX] = value;
        Group.Barrier();
        for (int step = RowThreads / 2; step > 0; step /= 2)
        {
            if (Group.IdxX < step)
                shared[Group.IdxX] = shared[Group.IdxX] + shared[Group.IdxX + step];
            Group.Barrier();
        }
        float result = shared[0];
        Group.Barrier();
        return result;
    }
}
