using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Modulated deformable convolution (Zhu et al.: "Deformable ConvNets v2", CVPR 2019):
///   y[n,p,q,k] = bias[k] + Σ_{taps t, channels c} weight[k,t,c] · mask[n,p,q,g,t] · x(n, p·stride − pad + i·dilation + Δy, q·… + Δx, c)
/// with x(·) bilinear, zero outside of the image, t = i·S + j, g the offset group of c. With Δ = 0 and mask 1 this is
/// <see cref="Conv2dForward"/>.
/// X (N,H,W,C), Offset (N,OH,OW,2·offsetGroups·R·S) as pairs (Δy, Δx), Mask none or (N,OH,OW,offsetGroups·R·S), used as given,
/// Weight (K,R,S,C/groups), Bias none or (K), Y (N,OH,OW,K).
/// </summary>
/// <remarks>
/// Threads take tiles of output pixels: place the samples, gather the columns into scratch of their own, multiply them with the
/// weight, which is packed once. Gathering costs a few vector operations for each K/8 of the product.
/// </remarks>
internal readonly record struct DeformConv2dForward(
    TensorView X, TensorView Offset, TensorView Mask, TensorView Weight, TensorView Bias, TensorView Y, Window Window, int Groups = 1, int OffsetGroups = 1) : IKernel
{
    public Cost Cost => new(Shapes.Flops, X.Bytes + Offset.Bytes + Mask.Bytes + Weight.Bytes + Bias.Bytes + Y.Bytes);

    private DeformShapes Shapes => new(Conv2dShapes.Of(X, Weight, Y, Window, Groups), OffsetGroups);

    public void Validate()
    {
        const string operation = nameof(DeformConv2dForward);
        DeformShapes.Validate(operation, X, Offset, Mask, Weight, "y", Y, Window, Groups, OffsetGroups);
        Check.Optional(operation, "bias", Bias, new Shape(Weight.Shape[0]));
        Check.Apart(operation, "x", X, "y", Y);
        Check.Apart(operation, "offset", Offset, "y", Y);
        Check.Apart(operation, "mask", Mask, "y", Y);
        Check.Apart(operation, "weight", Weight, "y", Y);
        Check.Apart(operation, "bias", Bias, "y", Y);
    }

    public void Run(CpuDevice device) => device.Dispatch(new Body(this));

    /// <summary>Columns of some images, then rows = pixels, depth = taps x channels, columns = output channels.</summary>
    public void Run(GpuDevice device)
    {
        var shapes = Shapes;
        var conv = shapes.Conv;
        if (conv.Outputs == 0)
            return;
        int depth = shapes.GroupDepth;
        long chunk = DeformColumns.ChunkImages(shapes) * shapes.ImagePixels;
        var places = DeformColumns.Places(device, shapes, Offset, Mask);
        var columns = device.Rent(new Shape(checked((int)chunk), shapes.RowLength), DType.F32, nameof(DeformConv2dForward));
        for (long first = 0; first < conv.Outputs; first += chunk)
        {
            long count = Math.Min(chunk, conv.Outputs - first);
            DeformColumns.Gather(device, places, X, columns, first, count);
            using var sides = new ProductSides(device, columns, depth, Weight, depth, conv.Groups, nameof(DeformConv2dForward));
            GpuProduct.RunGroups(device, new MatrixOperand(sides.A, shapes.RowLength), new MatrixOperand(sides.B, depth),
                new((int)count, conv.GroupOut, depth, conv.Groups, depth, (long)conv.GroupOut * depth),
                ProductTarget.Matrix(device.F32(Y).SubView(first * conv.OutChannels), conv.OutChannels, conv.GroupOut) with
                { Wide = ProductTarget.IsWide(conv.GroupOut, Y), Bias = device.F32(Bias), HasBias = Bias.IsNone ? 0 : 1 },
                sides.Access, nameof(DeformConv2dForward));
        }
        device.Return(columns);
    }

    private readonly struct Body(DeformConv2dForward op) : ISimdBody
    {
        public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
        {
            var shapes = op.Shapes;
            var conv = shapes.Conv;
            int depth = shapes.GroupDepth;
            long packedLength = GemmBlock.PackedFloats<TVector>(conv.GroupOut, depth);
            long tileBytes = DeformShapes.TilePixels * ((long)shapes.RowLength * sizeof(float) + (long)shapes.Samples * sizeof(DeformSample));
            using var own = new WorkerScratch(device, tileBytes, nameof(DeformConv2dForward));
            using var zeros = new Scratch(device, new Shape(shapes.Segment), DType.F32, "zeros outside of the image");
            device.Fill(zeros, 0);
            using var packed = new Scratch(device, new Shape(conv.Groups, checked((int)packedLength)), DType.F32, nameof(DeformConv2dForward));
            for (int g = 0; g < conv.Groups; g++)
                GemmBlock.PackB<TVector>(conv.GroupOut, depth, op.Weight.F32 + (long)g * conv.GroupOut * depth, 1, depth, packed.F32 + g * packedLength);
            device.Team.For(shapes.Tiles(conv.Outputs), new Tiles<TVector>(
                shapes, new DeformSampler(shapes, op.Offset.F32, op.Mask.F32), new DeformGather<TVector>(shapes, op.X.F32, zeros.F32),
                packed.F32, packedLength, op.Bias.F32, op.Y.F32, own.Memory));
        }
    }

    private readonly unsafe struct Tiles<TVector>(
        DeformShapes shapes, DeformSampler sampler, DeformGather<TVector> gather, float* packed, long packedLength, float* bias, float* y,
        WorkerMemory memory) : IRangeBody
        where TVector : unmanaged, ISimd<TVector>
    {
        public void Invoke(int start, int end, int worker)
        {
            var conv = shapes.Conv;
            float* ownColumns = memory.Floats(worker);                                       // (pixel, RowLength)
            var ownSamples = (DeformSample*)(ownColumns + (long)DeformShapes.TilePixels * shapes.RowLength);
            for (int tile = start; tile < end; tile++)
            {
                long first = (long)tile * DeformShapes.TilePixels;
                int count = (int)Math.Min(DeformShapes.TilePixels, conv.Outputs - first);
                sampler.Samples(first, count, ownSamples);
                gather.Columns(first, count, ownSamples, ownColumns);
                float* to = y + first * conv.OutChannels;
                if (bias != null)
                    for (int p = 0; p < count; p++)
                        Unsafe.CopyBlockUnaligned(to + (long)p * conv.OutChannels, bias, (uint)conv.OutChannels * sizeof(float));
                for (int g = 0; g < conv.Groups; g++)
                    GemmBlock.Multiply<TVector>(count, conv.GroupOut, shapes.GroupDepth, ownColumns + (long)g * shapes.GroupDepth, shapes.RowLength,
                        packed + g * packedLength, to + g * conv.GroupOut, conv.OutChannels, accumulate: bias != null);
            }
        }
    }
}
