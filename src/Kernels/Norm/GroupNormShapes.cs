namespace CudaKernels.Kernels;

/// <summary>What the kernels of group norm ask of their views, and how they walk over them.</summary>
internal static class GroupNormShapes
{
    private const long CacheFloats = 1 << 20;

    /// <summary>x is (N, ..., C), mean (N, G) and G divides C.</summary>
    public static void Validate(string operation, TensorView x, TensorView mean)
    {
        Check.That(!x.IsNone && x.Type == DType.F32 && x.Shape.Rank >= 2, operation, "x", "f32 of rank 2 or more", x);
        Check.Rank(operation, "mean", mean, 2);
        int groups = mean.Shape[1];
        Check.That(mean.Shape[0] == x.Shape[0] && groups >= 1 && x.Shape.Channels % groups == 0, operation, "mean",
            $"{x.Shape[0]} images and a divisor of {x.Shape.Channels} channels", mean);
    }

    /// <summary>
    /// Images to take together on the processor: as many as the last-level cache holds well, at least one. Images are independent, so what a first pass
    /// over them has read, the second one finds there.
    /// </summary>
    public static int AtOnce(TensorView x) => (int)Math.Clamp(CacheFloats * x.Shape[0] / Math.Max(1, x.Length), 1, Math.Max(1, x.Shape[0]));

    /// <summary>Images [first, first + count) of a view whose first dimension counts them; none stays none.</summary>
    public static TensorView Images(TensorView view, int first, int count)
    {
        if (view.IsNone)
            return view;
        int[] dims = view.Shape.ToArray();
        long length = view.Length / Math.Max(1, dims[0]);
        dims[0] = count;
        return view.Slice(first * length, new Shape(dims));
    }
}
