using System.Runtime.CompilerServices;

namespace CudaKernels.Kernels;

/// <summary>Window arithmetic shared by both directions of max pooling.</summary>
internal static class MaxPoolShapes
{
    /// <summary>y has the size the window says or, in ceil mode, one more where that window starts inside the image or its leading padding.</summary>
    public static void Validate(string operation, string argument, Shape x, Shape y, Window window)
    {
        window.Validate(operation);
        Check.That(2 * window.PadY <= window.KernelHeight && 2 * window.PadX <= window.KernelWidth, operation, "window",
            "padding of at most half the kernel", window);
        Check.That(y[0] == x[0] && y[3] == x[3], operation, argument, $"batch {x[0]} and {x[3]} channels", y);
        Check.That(Fits(y[1], window.OutHeight(x[1]), x[1], window.StrideY, window.PadY)
            && Fits(y[2], window.OutWidth(x[2]), x[2], window.StrideX, window.PadX), operation, argument,
            $"{window.OutHeight(x[1])}x{window.OutWidth(x[2])} (or one more with ceil mode) for {window}", y);
    }

    /// <summary>Taps [first, last) whose position start + tap·dilation lies in [0, size).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (int First, int Last) Taps(int start, int kernel, int dilation, int size)
    {
        int first = start < 0 ? (-start + dilation - 1) / dilation : 0;
        int last = Math.Min(kernel, (size - start + dilation - 1) / dilation);
        return (first, Math.Max(first, last));
    }

    private static bool Fits(int size, int floor, int input, int stride, int pad) =>
        size == floor || (size == floor + 1 && (size - 1) * stride < input + pad);
}
