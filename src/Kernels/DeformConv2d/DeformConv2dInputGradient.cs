using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Gradients of <see cref="DeformConv2dForward"/> with respect to x, offset and mask, each written when its view is given:
/// gradColumns = gradY · weight, then <see cref="DeformScatterBody{TVector}"/> and <see cref="DeformSamplingGradientBody"/>.
/// An Accumulate flag adds to what the view holds. GradMask needs Mask.
/// </summary>
/// <remarks>
/// Chunk by chunk of output pixels: the product over tiles of pixels, the scatter over (image, slice of channels), the last
/// sums over pixels again. No atomics: see the bodies for why the result does not depend on the number of threads.
/// </remarks>
internal readonly partial record struct DeformConv2dInputGradient(
    TensorView X, TensorView Offset, TensorView Mask, TensorView Weight, TensorView GradY, TensorView GradX, TensorView GradOffset, TensorView GradMask,
    Window Window, int Groups = 1, int OffsetGroups = 1, bool AccumulateX = false, bool AccumulateOffset = false, bool AccumulateMask = false) : IKernel
{
    public Cost Cost => new(Shapes.Flops, 2 * (X.Bytes + Offset.Bytes + Mask.Bytes) + Weight.Bytes + GradY.Bytes);

    private DeformShapes Shapes => new(Conv2dShapes.Of(X, Weight, GradY, Window, Groups), OffsetGroups);

    public void Validate()
    {
        const string operation = nameof(DeformConv2dInputGradient);
        DeformShapes.Validate(operation, X, Offset, Mask, Weight, "gradY", GradY, Window, Groups, OffsetGroups);
        Check.Optional(operation, "gradX", GradX, X.Shape);
        Check.Optional(operation, "gradOffset", GradOffset, Offset.Shape);
        Check.That(GradMask.IsNone || !Mask.IsNone, operation, "gradMask", "none where mask is none", GradMask);
        Check.Optional(operation, "gradMask", GradMask, Mask.IsNone ? default : Mask.Shape);
        Span<(string Name, TensorView View)> inputs = [("x", X), ("offset", Offset), ("mask", Mask), ("weight", Weight), ("gradY", GradY)];
        Span<(string Name, TensorView View)> outputs = [("gradX", GradX), ("gradOffset", GradOffset), ("gradMask", GradMask)];
        for (int i = 0; i < outputs.Length; i++)
        {
            foreach (var (name, view) in inputs)
                Check.Apart(operation, name, view, outputs[i].Name, outputs[i].View);
            for (int j = i + 1; j < outputs.Length; j++)
                Check.Apart(operation, outputs[i].Name, outputs[i].View, outputs[j].Name, outputs[j].View);
        }
    }

    public void Run(CpuDevice device) => device.Dispatch(new Body(this));

    private readonly struct Body(DeformConv2dInputGradient op) : ISimdBody
    {
        public unsafe void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
        {
            var shapes = op.Shapes;
            var conv = shapes.Conv;
            int depth = shapes.GroupDepth;
            // No sum here reaches beyond a pixel's chunk except gradX's, which runs over the pixels in order: the cut may follow the team.
            int chunk = shapes.ChunkPixels(smallest: 2 * DeformShapes.TilePixels * device.Team.Threads);
            long packedLength = GemmBlock.PackedFloats<TVector>(depth, conv.GroupOut);
            using var scratch = new DeformScratch(device, shapes, chunk);
            using var packed = new Scratch(device, new Shape(conv.Groups, checked((int)packedLength)), DType.F32, nameof(DeformConv2dInputGradient));
            using var dots = new Scratch(device, new Shape(chunk, shapes.Samples, shapes.SlicesOfOffsetGroup, 4), DType.F32, nameof(DeformConv2dInputGradient));
            using var unread = new WorkerScratch(device, (long)shapes.SliceWidth * sizeof(float), nameof(DeformConv2dInputGradient));
            for (int worker = 0; worker < device.Team.Threads; worker++)
                new Span<float>(unread.Memory.Floats(worker), shapes.SliceWidth).Clear();
            for (int g = 0; g < conv.Groups; g++)
                GemmBlock.PackB<TVector>(depth, conv.GroupOut, op.Weight.F32 + (long)g * conv.GroupOut * depth, depth, 1, packed.F32 + g * packedLength);
            var sampler = new DeformSampler(shapes, op.Offset.F32, op.Mask.F32);
            for (long first = 0; first < conv.Outputs; first += chunk)
            {
                int count = (int)Math.Min(chunk, conv.Outputs - first);
                device.Team.For(shapes.Tiles(count), new ColumnGradientTiles<TVector>(
                    shapes, sampler, packed.F32, packedLength, op.GradY.F32, scratch.Samples, scratch.Columns, first, count));
                var scatter = new DeformScatterBody<TVector>(
                    shapes, op.X.F32, scratch.Samples, scratch.Columns, scratch.Zeros, unread.Memory, op.GradX.F32, dots.F32, first, first + count, op.AccumulateX);
                device.Team.For(scatter.Tasks, scatter);
                device.Team.For(count, new DeformSamplingGradientBody(
                    shapes, scratch.Samples, dots.F32, op.GradOffset.F32, op.GradMask.F32, first, op.AccumulateOffset, op.AccumulateMask), grain: 32);
            }
        }
    }

    /// <summary>gradColumns[pixel, group, tap, channel] = Σ_k gradY[pixel, k] · weight[k, tap, channel], k in the group; and the samples.</summary>
    private readonly unsafe struct ColumnGradientTiles<TVector>(
        DeformShapes shapes, DeformSampler sampler, float* packed, long packedLength, float* gradY, DeformSample* samples, float* gradColumns,
        long firstPixel, int pixels) : IRangeBody
        where TVector : unmanaged, ISimd<TVector>
    {
        public void Invoke(int start, int end, int worker)
        {
            var conv = shapes.Conv;
            for (int tile = start; tile < end; tile++)
            {
                int first = tile * DeformShapes.TilePixels, count = Math.Min(DeformShapes.TilePixels, pixels - first);
                sampler.Samples(firstPixel + first, count, samples + (long)first * shapes.Samples);
                for (int g = 0; g < conv.Groups; g++)
                    GemmBlock.Multiply<TVector>(count, shapes.GroupDepth, conv.GroupOut, gradY + (firstPixel + first) * conv.OutChannels + g * conv.GroupOut,
                        conv.OutChannels, packed + g * packedLength, gradColumns + (long)first * shapes.RowLength + (long)g * shapes.GroupDepth, shapes.RowLength, accumulate: false);
            }
        }
    }
}
