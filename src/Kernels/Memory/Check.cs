namespace CudaKernels.Kernels;

/// <summary>Argument checks that write the house's error sentence: operation, argument, what was expected, what came.</summary>
internal static class Check
{
    public static void That<TCame>(bool condition, string operation, string argument, string expected, TCame came)
    {
        if (!condition)
            throw new KernelException($"{operation}: {argument} expects {expected} but is {came}");
    }

    public static void Shape(string operation, string argument, TensorView view, Shape expected, DType type = DType.F32)
    {
        if (view.IsNone || view.Shape != expected || view.Type != type)
            throw new KernelException($"{operation}: {argument} expects {type.Label()}{expected} but is {view}");
    }

    /// <summary>As <see cref="Shape"/>, but "no view" passes.</summary>
    public static void Optional(string operation, string argument, TensorView view, Shape expected, DType type = DType.F32)
    {
        if (!view.IsNone)
            Shape(operation, argument, view, expected, type);
    }

    public static void Rank(string operation, string argument, TensorView view, int rank, DType type = DType.F32)
    {
        if (view.IsNone || view.Shape.Rank != rank || view.Type != type)
            throw new KernelException($"{operation}: {argument} expects {type.Label()} of rank {rank} but is {view}");
    }

    public static void Apart(string operation, string first, TensorView a, string second, TensorView b)
    {
        if (a.Overlaps(b))
            throw new KernelException($"{operation}: {first} {a} and {second} {b} share memory; give them buffers of their own");
    }
}
