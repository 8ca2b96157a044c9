using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Adjoint of <see cref="Conv2dForward"/> in x: gradX[n,i,j,c] = bias[c] + Σ gradY[n,p,q,k] · weight[k,r,s,c] over all (p,q,r,s,k)
/// with p·stride − pad + r·dilation = i, and q likewise j. Gather form: every element of gradX is written by one thread, once.
/// This is also transposed convolution forward: then gradY is its input, gradX its output (as large as output padding wants),
/// and <c>Bias</c> (C), absent in a gradient, its bias.
/// GradY (N,OH,OW,K), Weight (K,R,S,C/groups), GradX (N,H,W,C).
/// </summary>
internal readonly record struct Conv2dInputGradient(
    TensorView GradY, TensorView Weight, TensorView GradX, Window Window, int Groups = 1, bool Accumulate = false, TensorView Bias = default) : IKernel, ISimdBody
{
    public Cost Cost => new(Shapes.Flops, GradY.Bytes + Weight.Bytes + Bias.Bytes + GradX.Bytes * (Accumulate ? 2 : 1));

    private Conv2dShapes Shapes => Conv2dShapes.Of(GradX, Weight, GradY, Window, Groups);

    public void Validate()
    {
        const string operation = nameof(Conv2dInputGradient);
        Conv2dShapes.Validate(operation, "gradX", GradX, "weight", Weight, "gradY", GradY, Window, Groups);
        Check.Optional(operation, "bias", Bias, new Shape(GradX.Shape[3]));
        Check.Apart(operation, "gradY", GradY, "gradX", GradX);
        Check.Apart(operation, "weight", Weight, "gradX", GradX);
        Check.Apart(operation, "bias", Bias, "gradX", GradX);
    }

    public void Run(CpuDevice device) => device.Dispatch(this);

    /// <summary>The classes of <see cref="Invoke"/>, each a product: rows = its pixels, depth = its taps x output channels, columns = input channels.</summary>
    public void Run(GpuDevice device)
    {
        var (z, w) = (Shapes, Window);
        if (z.Batch == 0)
            return;
        using var sides = new ProductSides(device, GradY, z.GroupOut, Weight, z.GroupIn, Groups, nameof(Conv2dInputGradient));
        long kernel = (long)w.Area * z.GroupIn, line = (long)z.Width * z.InChannels;
        for (int firstY = 0; firstY < Math.Min(w.StrideY, z.Height); firstY++)
            for (int firstX = 0; firstX < Math.Min(w.StrideX, z.Width); firstX++)
            {
                var y = TapClass.Of(firstY, w.KernelHeight, w.StrideY, w.PadY, w.DilationY);
                var x = TapClass.Of(firstX, w.KernelWidth, w.StrideX, w.PadX, w.DilationX);
                int height = (z.Height - firstY + w.StrideY - 1) / w.StrideY, width = (z.Width - firstX + w.StrideX - 1) / w.StrideX;
                int tapWidth = Math.Max(1, x.Count);
                GpuProduct.RunGroups(device,
                    new ImageOperand(sides.A, z.OutHeight, z.OutWidth, z.OutChannels, height, width, y.Walk, x.Walk, tapWidth, z.GroupOut),
                    new WeightOperand(sides.B, ((long)y.Tap * w.KernelWidth + x.Tap) * z.GroupIn,
                        (long)y.Step * w.KernelWidth * z.GroupIn, (long)x.Step * z.GroupIn, kernel, tapWidth, z.GroupOut),
                    new(checked(z.Batch * height * width), z.GroupIn, y.Count * x.Count * z.GroupOut, Groups, z.GroupOut, z.GroupOut * kernel),
                    ProductTarget.Grid(device.F32(GradX).SubView(firstY * line + (long)firstX * z.InChannels), height, width,
                        z.Height * line, w.StrideY * line, (long)w.StrideX * z.InChannels, z.GroupIn) with
                    { Wide = ProductTarget.IsWide(z.GroupIn, GradX), Bias = device.F32(Bias), HasBias = Bias.IsNone ? 0 : 1, Accumulate = Accumulate ? 1 : 0 },
                    sides.Access, nameof(Conv2dInputGradient));
            }
    }

    /// <summary>
    /// Depthwise where that fits, <see cref="Winograd"/> where it pays. Else pixels of x fall into StrideY·StrideX classes by their position modulo the stride; all pixels of a class see the same taps, and
    /// neighbours in a class see neighbours of gradY. So each class is one implicit matrix product: rows = its pixels, depth =
    /// its taps x output channels, columns = input channels. A class no tap reaches gets zeros (the sum of no taps).
    /// </summary>
    public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        if (Depthwise.Fits(Shapes))
        {
            Depthwise.InputGradient<TVector>(device, Shapes, GradY.F32, Weight.F32, Bias.F32, GradX.F32, Accumulate, nameof(Conv2dInputGradient));
            return;
        }
        if (Winograd.Pays(Shapes))
        {
            Turned<TVector>(device);
            return;
        }
        device.Note("implicit product");
        using var taps = new Scratch(device, new Shape(3, Window.Area), DType.I32, nameof(Conv2dInputGradient));
        for (int y = 0; y < Math.Min(Window.StrideY, Shapes.Height); y++)
            for (int x = 0; x < Math.Min(Window.StrideX, Shapes.Width); x++)
                RunClass<TVector>(device, y, x, taps.I32);
    }

    /// <summary>At stride 1 the adjoint is itself a convolution: of gradY with the kernels turned by 180 degrees, inputs and outputs exchanged.</summary>
    private unsafe void Turned<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
    {
        var z = Shapes;
        Winograd.Run<TVector>(device, new WinogradProblem
        {
            Batch = z.Batch,
            PadY = Window.KernelHeight - 1 - Window.PadY,
            PadX = Window.KernelWidth - 1 - Window.PadX,
            Source = new(GradY.F32, z.OutHeight, z.OutWidth, z.OutChannels),
            Target = new(GradX.F32, z.Height, z.Width, z.InChannels),
            Weight = Weight.F32,
            WeightTap = z.InChannels,
            WeightIn = (nint)Window.Area * z.InChannels,
            WeightOut = 1,
            Turned = true,
            Bias = Bias.IsNone ? null : Bias.F32,
            Factor = 1,
            Accumulate = Accumulate,
        }, nameof(Conv2dInputGradient));
    }

    private unsafe void RunClass<TVector>(CpuDevice device, int firstY, int firstX, int* taps) where TVector : unmanaged, ISimd<TVector>
    {
        var z = Shapes;
        var w = Window;
        int* tapY = taps, tapX = taps + w.Area, tapWeight = tapX + w.Area;
        int count = 0, run = 0;
        for (int r = w.KernelHeight - 1; r >= 0; r--)
        {
            int offsetY = firstY + w.PadY - r * w.DilationY;
            if (offsetY % w.StrideY != 0)
                continue;
            run = 0;
            for (int s = w.KernelWidth - 1; s >= 0; s--)
            {
                int offsetX = firstX + w.PadX - s * w.DilationX;
                if (offsetX % w.StrideX != 0)
                    continue;
                tapY[count] = offsetY / w.StrideY;
                tapX[count] = offsetX / w.StrideX;
                tapWeight[count++] = (r * w.KernelWidth + s) * z.GroupIn;
                run++;
            }
        }
        bool adjacent = run > 1 && tapX[1] == tapX[0] + 1 && Groups == 1;
        nint kernel = (nint)w.Area * z.GroupIn;
        for (int group = 0; group < Groups; group++)
            ImplicitGemm.Run<TVector>(device, new Gather
            {
                Batch = z.Batch,
                Height = (z.Height - firstY + w.StrideY - 1) / w.StrideY,
                Width = (z.Width - firstX + w.StrideX - 1) / w.StrideX,
                Source = GradY.F32 + group * z.GroupOut,
                SourceHeight = z.OutHeight,
                SourceWidth = z.OutWidth,
                SourceImage = (nint)z.OutHeight * z.OutWidth * z.OutChannels,
                SourceRow = (nint)z.OutWidth * z.OutChannels,
                SourcePixel = z.OutChannels,
                Channels = z.GroupOut,
                ChannelStep = 1,
                StepY = 1,
                StepX = 1,
                Taps = count,
                TapY = tapY,
                TapX = tapX,
                TapWeight = tapWeight,
                Run = adjacent ? run : 1,
                Weight = Weight.F32 + group * z.GroupOut * kernel,
                WeightChannel = kernel,
                WeightColumn = 1,
                Target = GradX.F32 + ((nint)firstY * z.Width + firstX) * z.InChannels + group * z.GroupIn,
                TargetImage = (nint)z.Height * z.Width * z.InChannels,
                TargetRow = (nint)w.StrideY * z.Width * z.InChannels,
                TargetPixel = (nint)w.StrideX * z.InChannels,
                Columns = z.GroupIn,
                Bias = Bias.IsNone ? null : Bias.F32 + group * z.GroupIn,
                Factor = 1,
                Accumulate = Accumulate,
            }, nameof(Conv2dInputGradient));
    }
}
