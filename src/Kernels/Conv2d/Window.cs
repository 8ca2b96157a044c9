namespace CudaKernels.Kernels;

/// <summary>
/// Geometry of a sliding window: kernel, stride, zero padding on both sides, dilation. Output position o and tap t read input
/// position o·stride − pad + t·dilation. Shared by convolution, deformable convolution and pooling.
/// </summary>
internal readonly record struct Window(int KernelHeight, int KernelWidth, int StrideY, int StrideX, int PadY, int PadX, int DilationY = 1, int DilationX = 1)
{
    public static Window Square(int kernel, int stride = 1, int padding = 0, int dilation = 1) =>
        new(kernel, kernel, stride, stride, padding, padding, dilation, dilation);

    /// <summary>Taps.</summary>
    public int Area => KernelHeight * KernelWidth;

    public int OutHeight(int height) => Out(height, KernelHeight, StrideY, PadY, DilationY);

    public int OutWidth(int width) => Out(width, KernelWidth, StrideX, PadX, DilationX);

    /// <summary>Throws unless kernel, stride and dilation are at least 1 and padding at least 0.</summary>
    public void Validate(string operation)
    {
        if (KernelHeight < 1 || KernelWidth < 1 || StrideY < 1 || StrideX < 1 || DilationY < 1 || DilationX < 1 || PadY < 0 || PadX < 0)
            throw new KernelException($"{operation}: window expects kernel, stride and dilation >= 1 and padding >= 0 but is {this}");
    }

    public override string ToString() =>
        $"kernel {KernelHeight}x{KernelWidth} stride {StrideY}x{StrideX} padding {PadY}x{PadX} dilation {DilationY}x{DilationX}";

    private static int Out(int size, int kernel, int stride, int pad, int dilation)
    {
        int room = size + 2 * pad - dilation * (kernel - 1) - 1;
        return room < 0 ? 0 : room / stride + 1;
    }
}
