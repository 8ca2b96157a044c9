namespace CudaKernels.Kernels;

/// <summary>
/// One axis of average pooling: output o is the sum of inputs [Begin(o), End(o)) divided by Divisor(o), along the axis. Windows: the taps inside
/// the image of o·stride − pad + [0, kernel), divided by their number or, where padding counts, by that of the taps not behind the trailing
/// padding. Adaptive: [⌊o·in/out⌋, ⌈(o + 1)·in/out⌉). The outputs that read an input have no holes: [FirstOutput(i), EndOutput(i)).
/// </summary>
internal readonly record struct AverageAxis
{
    private readonly int kernel, stride, pad, countPadding;

    private AverageAxis(int input, int output, int kernel, int stride, int pad, bool countPadding) =>
        (Input, Output, this.kernel, this.stride, this.pad, this.countPadding) = (input, output, kernel, stride, pad, countPadding ? 1 : 0);

    public int Input { get; }

    public int Output { get; }

    /// <summary>Inputs of an output at most.</summary>
    public int Widest => kernel > 0 ? kernel : Input / Math.Max(1, Output) + 2;

    public static AverageAxis Windowed(int input, int output, int kernel, int stride, int pad, bool countPadding) => new(input, output, kernel, stride, pad, countPadding);

    public static AverageAxis Adaptive(int input, int output) => new(input, output, 0, 1, 0, false);

    /// <summary>The output size of a window; in ceil mode a last window may hang over the edge if it starts inside the image or its leading padding.</summary>
    public static int OutputOf(int input, int kernel, int stride, int pad, bool ceil)
    {
        int room = input + 2 * pad - kernel;
        if (room < 0)
            return 0;
        int floor = room / stride + 1;
        return ceil && room % stride != 0 && floor * stride < input + pad ? floor + 1 : floor;
    }

    public void Validate(string operation, string axis)
    {
        if (kernel == 0)
            return;
        Check.That(kernel >= 1 && stride >= 1 && pad >= 0 && 2 * pad <= kernel, operation, axis, "kernel and stride ≥ 1, padding from 0 to half the kernel",
            $"kernel {kernel}, stride {stride}, padding {pad}");
        int floor = OutputOf(Input, kernel, stride, pad, false), ceiling = OutputOf(Input, kernel, stride, pad, true);
        Check.That(Output == floor || Output == ceiling, operation, axis, $"{floor} (in ceil mode {ceiling}) outputs of {Input}", Output);
    }

    public int Begin(int o) => kernel > 0 ? Math.Max(0, o * stride - pad) : (int)((long)o * Input / Output);

    public int End(int o) => kernel > 0 ? Math.Min(Input, o * stride - pad + kernel) : (int)(((o + 1L) * Input + Output - 1) / Output);

    public int Divisor(int o)
    {
        int start = o * stride - pad;
        return countPadding != 0 ? Math.Min(start + kernel, Input + pad) - start : End(o) - Begin(o);
    }

    public int FirstOutput(int i)
    {
        if (kernel == 0)
            return (int)((long)i * Output / Input);
        int before = i + pad - kernel + 1;
        return before <= 0 ? 0 : (before + stride - 1) / stride;
    }

    public int EndOutput(int i) => kernel > 0 ? Math.Min(Output, (i + pad) / stride + 1) : (int)(((i + 1L) * Output + Input - 1) / Input);
}
