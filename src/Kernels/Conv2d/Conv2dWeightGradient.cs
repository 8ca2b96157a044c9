using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// gradWeight[k,r,s,c] (+)= Σ_{n,p,q} gradY[n,p,q,k] · x[n, p·stride − pad + r·dilation, q·… + s·…, c].
/// X (N,H,W,C), GradY (N,OH,OW,K), GradWeight (K,R,S,C/groups). The bias gradient is <see cref="ChannelSum"/> of gradY.
/// </summary>
internal readonly record struct Conv2dWeightGradient(
    TensorView X, TensorView GradY, TensorView GradWeight, Window Window, int Groups = 1, bool Accumulate = false) : IKernel, ISimdBody
{
    public Cost Cost => new(Shapes.Flops, X.Bytes + GradY.Bytes + GradWeight.Bytes * (Accumulate ? 2 : 1));

    private Conv2dShapes Shapes => Conv2dShapes.Of(X, GradWeight, GradY, Window, Groups);

    public void Validate()
    {
        const string operation = nameof(Conv2dWeightGradient);
        Conv2dShapes.Validate(operation, "x", X, "gradWeight", GradWeight, "gradY", GradY, Window, Groups);
        Check.Apart(operation, "x", X, "gradWeight", GradWeight);
        Check.Apart(operation, "gradY", GradY, "gradWeight", GradWeight);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    /// <summary>Rows = output channels, depth = pixels, columns = taps x input channels.</summary>
    public void Run(GpuDevice device)
    {
        var (z, w) = (Shapes, Window);
        int kernel = w.Area * z.GroupIn;
        using var sides = new ProductSides(device, GradY, z.GroupOut, X, z.GroupIn, Groups, nameof(Conv2dWeightGradient));
        GpuProduct.RunGroups(device,
            new Transposed<MatrixOperand>(new(sides.A, z.OutChannels)),
            new Transposed<ImageOperand>(new(sides.B, z.Height, z.Width, z.InChannels, z.OutHeight, z.OutWidth,
                new(w.StrideY, -w.PadY, w.DilationY), new(w.StrideX, -w.PadX, w.DilationX), w.KernelWidth, z.GroupIn)),
            new(z.GroupOut, kernel, checked((int)z.Outputs), Groups, z.GroupOut, z.GroupIn),
            ProductTarget.Matrix(device.F32(GradWeight), kernel, (long)z.GroupOut * kernel) with
            {
                Wide = ProductTarget.IsWide(kernel, GradWeight),
                Accumulate = Accumulate ? 1 : 0,
            },
            sides.Access, nameof(Conv2dWeightGradient));
    }

    /// <summary>
    /// Depthwise where that fits, <see cref="WinogradWeightGradient"/> where it pays, <see cref="RowWeightGradient"/> for long rows of few channels, else a matrix product over the pixels (<see cref="WeightGradient"/>). Channels that fill no panels are made into runs of S·C
    /// values by a copy with zero columns, so that panels are filled from long contiguous pieces.
    /// </summary>
    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        var z = Shapes;
        var w = Window;
        if (Depthwise.Fits(z))
            Depthwise.WeightGradient<TVector>(device, z, X.F32, GradY.F32, GradWeight.F32, Accumulate);
        else if (Winograd.Pays(z))
            WinogradWeightGradient.Run<TVector>(device, z.Batch, new(X.F32, z.Height, z.Width, z.InChannels), new(GradY.F32, z.OutHeight, z.OutWidth, z.OutChannels),
                w.PadY, w.PadX, GradWeight.F32, Accumulate, nameof(Conv2dWeightGradient));
        else if (RowWeightGradient.Fits<TVector>(z))
        {
            using var padded = WidthPadding.Rent(device, X, w.PadX, nameof(Conv2dWeightGradient));
            RowWeightGradient.Run<TVector>(device, z, padded.F32, GradY.F32, GradWeight.F32, Accumulate, nameof(Conv2dWeightGradient));
        }
        else if (w.KernelWidth > 1 && w.DilationX == 1 && Groups == 1 && z.InChannels % RegisterTile.Width<TVector>() != 0)
        {
            using var padded = WidthPadding.Rent(device, X, w.PadX, nameof(Conv2dWeightGradient));
            Multiply<TVector>(device, padded.F32, z.Width + 2 * w.PadX, w with { KernelWidth = 1, PadX = 0 }, w.KernelWidth * z.InChannels, slack: true);
        }
        else
            Multiply<TVector>(device, X.F32, z.Width, w, z.GroupIn, slack: false);
    }

    private unsafe void Multiply<TVector>(CpuDevice device, float* source, int width, Window window, int channels, bool slack)
        where TVector : unmanaged, ISimd<TVector>
    {
        var z = Shapes;
        int area = window.Area;
        using var taps = new Scratch(device, new Shape(2, area), DType.I32, nameof(Conv2dWeightGradient));
        int* tapY = taps.I32, tapX = tapY + area;
        for (int tap = 0; tap < area; tap++)
        {
            tapY[tap] = tap / window.KernelWidth * window.DilationY - window.PadY;
            tapX[tap] = tap % window.KernelWidth * window.DilationX - window.PadX;
        }
        for (int group = 0; group < Groups; group++)
            WeightGradient.Run<TVector>(device, new WeightGradientProblem
            {
                Source = source + group * z.GroupIn,
                SourceHeight = z.Height,
                SourceWidth = width,
                SourceImage = (nint)z.Height * width * z.InChannels,
                SourceRow = (nint)width * z.InChannels,
                SourcePixel = z.InChannels,
                StepY = window.StrideY,
                StepX = window.StrideX,
                Taps = area,
                TapY = tapY,
                TapX = tapX,
                Channels = channels,
                Slack = slack,
                GradY = GradY.F32 + group * z.GroupOut,
                GradPixel = z.OutChannels,
                Batch = z.Batch,
                Height = z.OutHeight,
                Width = z.OutWidth,
                OutChannels = z.GroupOut,
                Target = GradWeight.F32 + (nint)group * z.GroupOut * area * channels,
                Accumulate = Accumulate,
            }, nameof(Conv2dWeightGradient));
    }
}
