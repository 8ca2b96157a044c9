namespace CudaKernels.Kernels;

/// <summary>The sizes of a convolution, read off its three tensors, and the checks its three kernels share.</summary>
internal readonly record struct Conv2dShapes(
    int Batch, int Height, int Width, int InChannels, int OutHeight, int OutWidth, int OutChannels, int Groups, Window Window)
{
    public int GroupIn => InChannels / Groups;

    public int GroupOut => OutChannels / Groups;

    public long Outputs => (long)Batch * OutHeight * OutWidth;

    /// <summary>Multiply-adds count as two; taps that fall on padding count too.</summary>
    public double Flops => 2.0 * Outputs * OutChannels * GroupIn * Window.Area;

    /// <summary>
    /// Checks x (N,H,W,C), weight (K,R,S,C/groups) and y (N,OH,OW,K) against each other. The names are those the calling kernel
    /// gives them, so that a gradient complains about its own arguments.
    /// </summary>
    public static void Validate(string operation, string xName, TensorView x, string weightName, TensorView weight, string yName, TensorView y, Window window, int groups)
    {
        Check.Rank(operation, xName, x, 4);
        Check.Rank(operation, weightName, weight, 4);
        Check.Rank(operation, yName, y, 4);
        window.Validate(operation);
        int inChannels = x.Shape[3], outChannels = weight.Shape[0];
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
            throw new KernelException($"{operation}: groups expects a divisor of {inChannels} input and {outChannels} output channels but is {groups}");
        Check.Shape(operation, weightName, weight, new Shape(outChannels, window.KernelHeight, window.KernelWidth, inChannels / groups));
        int outHeight = window.OutHeight(x.Shape[1]), outWidth = window.OutWidth(x.Shape[2]);
        if (outHeight == 0 || outWidth == 0)
            throw new KernelException($"{operation}: window expects to fit into {xName} {x}; use a larger image, more padding or a smaller kernel but is {window}");
        Check.Shape(operation, yName, y, new Shape(x.Shape[0], outHeight, outWidth, outChannels));
    }

    public static Conv2dShapes Of(TensorView x, TensorView weight, TensorView y, Window window, int groups) =>
        new(x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], y.Shape[1], y.Shape[2], weight.Shape[0], groups, window);
}
