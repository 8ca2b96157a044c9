using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// y[n,p,q,k] = act(bias[k] + scale[k]·Σ_{r,s,c} x[n, p·stride − pad + r·dilation, q·… + s·…, c] · weight[k,r,s,c] + residual[n,p,q,k]), positions
/// outside x count as zero; with groups, output channel k sees only the input channels of its group. Scale, bias and residual are what a
/// norm with fixed statistics, and the sum behind it, come to.
/// X (N,H,W,C), Weight (K,R,S,C/groups), Bias and Scale none or (K), Y (N,OH,OW,K), Residual none or like Y, also Y itself.
/// </summary>
internal readonly record struct Conv2dForward(
    TensorView X, TensorView Weight, TensorView Bias, TensorView Y, Window Window, int Groups = 1, Activation Activation = default,
    TensorView Scale = default, TensorView Residual = default) : IKernel, ISimdBody
{
    private const int FewChannels = 8;

    public Cost Cost => new(Shapes.Flops, X.Bytes + Weight.Bytes + Bias.Bytes + Scale.Bytes + Residual.Bytes + Y.Bytes);

    private Conv2dShapes Shapes => Conv2dShapes.Of(X, Weight, Y, Window, Groups);

    /// <summary>From an element of y to the one of the residual.</summary>
    private unsafe nint Addend => Residual.IsNone ? 0 : (nint)(Residual.F32 - Y.F32);

    public void Validate()
    {
        const string operation = nameof(Conv2dForward);
        Conv2dShapes.Validate(operation, "x", X, "weight", Weight, "y", Y, Window, Groups);
        Activation.Validate(operation);
        Check.Optional(operation, "bias", Bias, new Shape(Weight.Shape[0]));
        Check.Apart(operation, "x", X, "y", Y);
        Check.Apart(operation, "weight", Weight, "y", Y);
        Check.Apart(operation, "bias", Bias, "y", Y);
        Check.Optional(operation, "scale", Scale, new Shape(Weight.Shape[0]));
        Check.Apart(operation, "scale", Scale, "y", Y);
        Check.Optional(operation, "residual", Residual, Y.Shape);
        Pointwise.CheckAlias(operation, "residual", Residual, "y", Y);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    /// <summary>Rows = output pixels, depth = taps x channels, columns = output channels.</summary>
    public void Run(GpuDevice device) => Run(device, default, default);

    /// <summary>The same, with mean and variance of the result where its way measures them; whether it has.</summary>
    public bool Run(GpuDevice device, TensorView mean, TensorView variance)
    {
        var (z, w) = (Shapes, Window);
        int kernel = w.Area * z.GroupIn;
        using var sides = new ProductSides(device, X, z.GroupIn, Weight, z.GroupIn, Groups, nameof(Conv2dForward));
        return GpuProduct.RunGroups(device,
            new ImageOperand(sides.A, z.Height, z.Width, z.InChannels, z.OutHeight, z.OutWidth,
                new(w.StrideY, -w.PadY, w.DilationY), new(w.StrideX, -w.PadX, w.DilationX), w.KernelWidth, z.GroupIn),
            new MatrixOperand(sides.B, kernel),
            new(checked((int)z.Outputs), z.GroupOut, kernel, Groups, z.GroupIn, (long)z.GroupOut * kernel),
            ProductTarget.Matrix(device.F32(Y), z.OutChannels, z.GroupOut) with
            {
                Wide = ProductTarget.IsWide(z.GroupOut, Y, Residual),
                Scale = device.F32(Scale),
                HasScale = Scale.IsNone ? 0 : 1,
                Bias = device.F32(Bias),
                HasBias = Bias.IsNone ? 0 : 1,
                Residual = device.F32(Residual),
                Accumulate = Residual.IsNone ? 0 : 2,
                Factor = Activation.Factor,
            },
            sides.Access, nameof(Conv2dForward), mean, variance);
    }

    /// <summary>
    /// Depthwise where that fits, <see cref="Winograd"/> where it pays, else an implicit matrix product: rows = output pixels, depth = taps x channels, columns = output channels. An image of few channels
    /// is copied once with its zero columns, so that a whole kernel row is one contiguous run of S·C values.
    /// </summary>
    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        var z = Shapes;
        var w = Window;
        if (Depthwise.Fits(z))
            Depthwise.Forward<TVector>(device, z, X.F32, Weight.F32, Scale.F32, Bias.F32, Residual.F32, Y.F32, Activation.Factor, nameof(Conv2dForward));
        else if (Winograd.Pays(z))
            Winograd.Run<TVector>(device, new WinogradProblem
            {
                Batch = z.Batch,
                PadY = w.PadY,
                PadX = w.PadX,
                Source = new(X.F32, z.Height, z.Width, z.InChannels),
                Target = new(Y.F32, z.OutHeight, z.OutWidth, z.OutChannels),
                Weight = Weight.F32,
                WeightTap = z.InChannels,
                WeightIn = 1,
                WeightOut = (nint)w.Area * z.InChannels,
                Scale = Scale.F32,
                Bias = Bias.F32,
                Factor = Activation.Factor,
                Accumulate = !Residual.IsNone,
                Addend = Addend,
            }, nameof(Conv2dForward));
        else if (w.KernelWidth > 1 && w.DilationX == 1 && Groups == 1 && z.InChannels <= FewChannels)
        {
            using var padded = WidthPadding.Rent(device, X, w.PadX, nameof(Conv2dForward));
            Multiply<TVector>(device, padded.F32, z.Width + 2 * w.PadX, w with { KernelWidth = 1, PadX = 0 }, w.KernelWidth * z.InChannels);
        }
        else
            Multiply<TVector>(device, X.F32, z.Width, w, z.GroupIn);
    }

    /// <param name="device">The device.</param>
    /// <param name="source">The image, padded or as it came.</param>
    /// <param name="width">Its width.</param>
    /// <param name="window">The window on it; kernel rows that were made one tap have kernel width 1.</param>
    /// <param name="channels">Contiguous values a tap reads.</param>
    private unsafe void Multiply<TVector>(CpuDevice device, float* source, int width, Window window, int channels) where TVector : unmanaged, ISimd<TVector>
    {
        device.Note("implicit product");
        var z = Shapes;
        int area = window.Area;
        using var taps = new Scratch(device, new Shape(3, area), DType.I32, nameof(Conv2dForward));
        int* tapY = taps.I32, tapX = tapY + area, tapWeight = tapX + area;
        for (int tap = 0; tap < area; tap++)
        {
            tapY[tap] = tap / window.KernelWidth * window.DilationY - window.PadY;
            tapX[tap] = tap % window.KernelWidth * window.DilationX - window.PadX;
            tapWeight[tap] = tap * channels;
        }
        nint kernel = (nint)area * channels;
        for (int group = 0; group < Groups; group++)
            ImplicitGemm.Run<TVector>(device, new Gather
            {
                Batch = z.Batch,
                Height = z.OutHeight,
                Width = z.OutWidth,
                Source = source + group * z.GroupIn,
                SourceHeight = z.Height,
                SourceWidth = width,
                SourceImage = (nint)z.Height * width * z.InChannels,
                SourceRow = (nint)width * z.InChannels,
                SourcePixel = z.InChannels,
                Channels = channels,
                ChannelStep = 1,
                StepY = window.StrideY,
                StepX = window.StrideX,
                Taps = area,
                TapY = tapY,
                TapX = tapX,
                TapWeight = tapWeight,
                Run = window.DilationX == 1 && Groups == 1 ? window.KernelWidth : 1,
                Weight = Weight.F32 + group * z.GroupOut * kernel,
                WeightChannel = 1,
                WeightColumn = kernel,
                Target = Y.F32 + group * z.GroupOut,
                TargetImage = (nint)z.OutHeight * z.OutWidth * z.OutChannels,
                TargetRow = (nint)z.OutWidth * z.OutChannels,
                TargetPixel = z.OutChannels,
                Columns = z.GroupOut,
                Scale = Scale.IsNone ? null : Scale.F32 + group * z.GroupOut,
                Bias = Bias.IsNone ? null : Bias.F32 + group * z.GroupOut,
                Factor = Activation.Factor,
                Accumulate = !Residual.IsNone,
                Addend = Addend,
            }, nameof(Conv2dForward));
    }
}
