using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>Count[0] = number of heatmap cells that are exactly 1, the normalizer of <see cref="HeatmapFocalLoss"/>.</summary>
internal readonly record struct HeatmapPositives(TensorView Target, TensorView Count) : IKernel
{
    public Cost Cost => new(Target.Length, Target.Bytes);

    public void Validate()
    {
        Check.That(!Target.IsNone && Target.Type == DType.F32, nameof(HeatmapPositives), "target", "f32", Target);
        Check.Shape(nameof(HeatmapPositives), "count", Count, new Shape(1));
    }

    public void Run(CpuDevice device) => device.Dispatch(new ElementSum<IsOne>(Target, Count));

    public void Run(GpuDevice device) => ElementSum.Run(device, new IsOne(), Target, Count);

    internal readonly struct IsOne : IElementTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TVector Invoke<TVector>(TVector x) where TVector : unmanaged, ISimd<TVector>
        {
            var one = TVector.Create(1);
            return TVector.And(TVector.Equal(x, one), one);
        }
    }
}

/// <summary>Total[0] = sum of all weights, the normalizer of <see cref="TtfBoxLoss"/> and of weighted means.</summary>
internal readonly record struct WeightTotal(TensorView Weight, TensorView Total) : IKernel
{
    public Cost Cost => new(Weight.Length, Weight.Bytes);

    public void Validate()
    {
        Check.That(!Weight.IsNone && Weight.Type == DType.F32, nameof(WeightTotal), "weight", "f32", Weight);
        Check.Shape(nameof(WeightTotal), "total", Total, new Shape(1));
    }

    public void Run(CpuDevice device) => device.Dispatch(new ElementSum<Itself>(Weight, Total));

    public void Run(GpuDevice device) => ElementSum.Run(device, new Itself(), Weight, Total);

    internal readonly struct Itself : IElementTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TVector Invoke<TVector>(TVector x) where TVector : unmanaged, ISimd<TVector> => x;
    }
}

/// <summary>
/// Total[0] = Σ class weight of every target that is not ignored (their number without class weights): what the mean of
/// <see cref="SoftmaxCrossEntropyLoss"/> divides by. A class out of range is an error; on a GPU, which cannot tell, the total is not-a-number.
/// </summary>
internal readonly unsafe record struct CrossEntropyTotal(TensorView Target, TensorView Total, TensorView ClassWeight = default, int IgnoreIndex = -100) : IKernel
{
    public Cost Cost => new(Target.Length, Target.Bytes);

    public void Validate()
    {
        Check.That(!Target.IsNone && Target.Type == DType.I32, nameof(CrossEntropyTotal), "target", "i32", Target);
        Check.Shape(nameof(CrossEntropyTotal), "total", Total, new Shape(1));
        if (!ClassWeight.IsNone)
            Check.Rank(nameof(CrossEntropyTotal), "class weight", ClassWeight, 1);
    }

    public void Run(CpuDevice device)
    {
        double total = 0;
        foreach (int target in Target.AsInts())
        {
            if (target == IgnoreIndex)
                continue;
            if (!ClassWeight.IsNone && (uint)target >= (uint)ClassWeight.Length)
                throw new KernelException($"{nameof(CrossEntropyTotal)}: target expects a class below {ClassWeight.Length} or {IgnoreIndex} but is {target}");
            total += ClassWeight.IsNone ? 1 : ClassWeight.F32[target];
        }
        *Total.F32 = (float)total;
    }

    public void Run(GpuDevice device)
    {
        long groups = GpuSums.Groups(Target.Length);
        using var sums = new GpuSums(device, groups, nameof(CrossEntropyTotal));
        device.Launch(Kernel, groups, GpuSums.GroupSize, new Arguments(device.I32(Target), device.F32(ClassWeight), sums.Partial, IgnoreIndex));
        sums.Total(Total, LossFactor.One);
    }

    internal readonly record struct Arguments(ArrayView<int> Target, ArrayView<float> ClassWeight, ArrayView<double> Partial, int Ignored);

    private static void Kernel(Arguments a)
    {
        var shared = SharedMemory.Allocate<double>(GpuSums.GroupSize);
        long start = (long)Grid.IdxX * (GpuSums.GroupSize * GpuSums.PerThread) + Group.IdxX;
        double sum = 0;
        for (int k = 0; k < GpuSums.PerThread; k++)
        {
            long i = start + k * GpuSums.GroupSize;
            if (i < a.Target.Length)
                sum += Weight(a.ClassWeight, a.Target[i], a.Ignored);
        }
        sum = GpuSums.OfGroup(shared, sum);
        if (Group.IdxX == 0)
            a.Partial[Grid.IdxX] = sum;
    }

    private static float Weight(ArrayView<float> classWeight, int target, int ignored)
    {
        if (target == ignored)
            return 0;
        if (classWeight.Length == 0)
            return 1;
        return target < 0 || target >= classWeight.Length ? float.NaN : classWeight[target];
    }
}
