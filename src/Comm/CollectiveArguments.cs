using CudaKernels.Kernels;

namespace CudaKernels.Comm;

/// <summary>What a rank can see to be wrong by itself, for every implementation in the same words.</summary>
internal static class CollectiveArguments
{
    public static void CheckView(string operation, string argument, TensorView view) => Check.That(!view.IsNone, operation, argument, "a view", view);

    public static void CheckFloats(string operation, TensorView view) => Check.That(!view.IsNone && view.Type == DType.F32, operation, nameof(view), "f32", view);

    public static void CheckRoot(string operation, int root, int size) => Check.That((uint)root < (uint)size, operation, nameof(root), $"a rank below {size}", root);

    public static void CheckParts(TensorView part, TensorView all, int size)
    {
        CheckView(nameof(ICollective.AllGather), nameof(part), part);
        Check.That(part.Type == all.Type && part.Length * size == all.Length, nameof(ICollective.AllGather), nameof(all), $"{part.Type.Label()} of length {part.Length * size} for parts like {part}", all);
        Check.Apart(nameof(ICollective.AllGather), nameof(part), part, nameof(all), all);
    }

    public static void CheckNumber(int number) => Check.That(number >= 0, nameof(ICollective.Split), nameof(number), "a number of at least 0", number);
}
