using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Gradient of <see cref="DeformConv2dForward"/> with respect to the weight: gradWeight[k,t,c] (+)= Σ pixels gradY[pixel,k] · columns[pixel,t,c].
/// The bias gradient is <see cref="ChannelSum"/>.
/// </summary>
/// <remarks>
/// The columns are gathered again: keeping those of the forward pass would take taps times the memory of x and save little
/// time. Chunk by chunk of output pixels: columns and the transpose of gradY over the pixels, then the product over blocks
/// of columns of gradWeight; every element is summed over the pixels in order, whatever the number of threads.
/// </remarks>
internal readonly record struct DeformConv2dWeightGradient(
    TensorView X, TensorView Offset, TensorView Mask, TensorView GradY, TensorView GradWeight, Window Window, int Groups = 1, int OffsetGroups = 1,
    bool Accumulate = false) : IKernel
{
    private const int TaskPixels = 16, BlockColumns = 64;

    public Cost Cost => new(Shapes.Flops, X.Bytes + Offset.Bytes + Mask.Bytes + GradY.Bytes + GradWeight.Bytes * (Accumulate ? 2 : 1));

    private DeformShapes Shapes => new(Conv2dShapes.Of(X, GradWeight, GradY, Window, Groups), OffsetGroups);

    public void Validate()
    {
        const string operation = nameof(DeformConv2dWeightGradient);
        DeformShapes.Validate(operation, X, Offset, Mask, GradWeight, "gradY", GradY, Window, Groups, OffsetGroups, "gradWeight");
        Check.Apart(operation, "x", X, "gradWeight", GradWeight);
        Check.Apart(operation, "offset", Offset, "gradWeight", GradWeight);
        Check.Apart(operation, "mask", Mask, "gradWeight", GradWeight);
        Check.Apart(operation, "gradY", GradY, "gradWeight", GradWeight);
    }

    public void Run(CpuDevice device) => device.Dispatch(new Body(this));

    /// <summary>Columns of some images, then rows = output channels, depth = pixels, columns = taps x input channels; chunks add up in order.</summary>
    public void Run(GpuDevice device)
    {
        var shapes = Shapes;
        var conv = shapes.Conv;
        if (conv.Outputs == 0)
        {
            if (!Accumulate)
                device.Fill(GradWeight, 0);
            return;
        }
        int depth = shapes.GroupDepth;
        long chunk = DeformColumns.ChunkImages(shapes) * shapes.ImagePixels;
        var places = DeformColumns.Places(device, shapes, Offset, Mask);
        var columns = device.Rent(new Shape(checked((int)chunk), shapes.RowLength), DType.F32, nameof(DeformConv2dWeightGradient));
        for (long first = 0; first < conv.Outputs; first += chunk)
        {
            long count = Math.Min(chunk, conv.Outputs - first);
            DeformColumns.Gather(device, places, X, columns, first, count);
            var gradY = GradY.Slice(first * conv.OutChannels, new Shape((int)count, conv.OutChannels));
            using var sides = new ProductSides(device, gradY, conv.GroupOut, columns, depth, conv.Groups, nameof(DeformConv2dWeightGradient));
            GpuProduct.RunGroups(device,
                new Transposed<MatrixOperand>(new(sides.A, conv.OutChannels)), new Transposed<MatrixOperand>(new(sides.B, shapes.RowLength)),
                new(conv.GroupOut, depth, (int)count, conv.Groups, conv.GroupOut, depth),
                ProductTarget.Matrix(device.F32(GradWeight), depth, (long)conv.GroupOut * depth) with
                {
                    Wide = ProductTarget.IsWide(depth, GradWeight),
                    Accumulate = Accumulate || first > 0 ? 1 : 0,
                },
                sides.Access, nameof(DeformConv2dWeightGradient));
        }
        device.Return(columns);
    }

    private readonly struct Body(DeformConv2dWeightGradient op) : ISimdBody
    {
        public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
        {
            var shapes = op.Shapes;
            var conv = shapes.Conv;
            if (conv.Outputs == 0 && !op.Accumulate)
                device.Fill(op.GradWeight, 0);
            int chunk = shapes.ChunkPixels();
            // A row of the transpose is a little longer than a chunk: rows a power of two apart would fall into the same cache sets.
            int stride = chunk + 16;
            int blocks = (shapes.GroupDepth + BlockColumns - 1) / BlockColumns;
            long packedLength = GemmBlock.PackedFloats<TVector>(BlockColumns, chunk);
            using var scratch = new DeformScratch(device, shapes, chunk);
            using var transposed = new Scratch(device, new Shape(conv.OutChannels, stride), DType.F32, nameof(DeformConv2dWeightGradient));
            using var packed = new WorkerScratch(device, packedLength * sizeof(float), nameof(DeformConv2dWeightGradient));
            var sampler = new DeformSampler(shapes, op.Offset.F32, op.Mask.F32);
            var gather = new DeformGather<TVector>(shapes, op.X.F32, scratch.Zeros);
            for (long first = 0; first < conv.Outputs; first += chunk)
            {
                int count = (int)Math.Min(chunk, conv.Outputs - first);
                device.Team.For((count + TaskPixels - 1) / TaskPixels, new ChunkColumns<TVector>(
                    shapes, sampler, gather, op.GradY.F32, scratch.Samples, scratch.Columns, transposed.F32, stride, first, count));
                device.Team.For(conv.Groups * blocks, new Product<TVector>(
                    shapes, scratch.Columns, transposed.F32, stride, packed.Memory, op.GradWeight.F32, count, blocks, op.Accumulate || first > 0));
            }
        }
    }

    /// <summary>Samples and columns of the chunk's pixels, and transposed[k, pixel] = gradY[pixel, k].</summary>
    private readonly unsafe struct ChunkColumns<TVector>(
        DeformShapes shapes, DeformSampler sampler, DeformGather<TVector> gather, float* gradY, DeformSample* samples, float* columns,
        float* transposed, int stride, long firstPixel, int pixels) : IRangeBody
        where TVector : unmanaged, ISimd<TVector>
    {
        public void Invoke(int start, int end, int worker)
        {
            int outChannels = shapes.Conv.OutChannels;
            for (int task = start; task < end; task++)
            {
                int first = task * TaskPixels, count = Math.Min(TaskPixels, pixels - first);
                var ownSamples = samples + (long)first * shapes.Samples;
                sampler.Samples(firstPixel + first, count, ownSamples);
                gather.Columns(firstPixel + first, count, ownSamples, columns + (long)first * shapes.RowLength);
                float* from = gradY + (firstPixel + first) * outChannels;
                for (int k = 0; k < outChannels; k++)
                    for (int p = 0; p < count; p++)
                        transposed[(long)k * stride + first + p] = from[(long)p * outChannels + k];
            }
        }
    }

    /// <summary>One block of columns of one group's gradWeight (K/groups, taps · C/groups).</summary>
    private readonly unsafe struct Product<TVector>(
        DeformShapes shapes, float* columns, float* transposed, int stride, WorkerMemory packed, float* gradWeight,
        int pixels, int blocks, bool accumulate) : IRangeBody
        where TVector : unmanaged, ISimd<TVector>
    {
        public void Invoke(int start, int end, int worker)
        {
            int depth = shapes.GroupDepth, groupOut = shapes.Conv.GroupOut;
            float* own = packed.Floats(worker);
            for (int task = start; task < end; task++)
            {
                int group = task / blocks, column = task % blocks * BlockColumns, count = Math.Min(BlockColumns, depth - column);
                GemmBlock.PackB<TVector>(count, pixels, columns + (long)group * depth + column, shapes.RowLength, 1, own);
                GemmBlock.Multiply<TVector>(groupOut, count, pixels, transposed + (long)group * groupOut * stride, stride, own,
                    gradWeight + (long)group * groupOut * depth + column, depth, accumulate);
            }
        }
    }
}
