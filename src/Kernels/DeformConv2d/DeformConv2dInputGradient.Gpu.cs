using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The same on a GPU, some images at a time: gradColumns = gradY · weight; gradX gathered, one thread an element, from the samples whose four corners
/// are in <see cref="DeformBuckets"/>, in the order of their numbers; the gradients of offset and mask by 32 threads a sample, whose sums
/// over the channels are added as a tree. No result depends on which thread was first.
/// </summary>
internal readonly partial record struct DeformConv2dInputGradient
{
    private const int Lanes = 32, SamplesAGroup = GpuDevice.GroupSize / Lanes;

    public void Run(GpuDevice device)
    {
        const string owner = nameof(DeformConv2dInputGradient);
        var shapes = Shapes;
        var conv = shapes.Conv;
        if (conv.Outputs == 0)
            return;
        int depth = shapes.GroupDepth, images = DeformColumns.ChunkImages(shapes);
        long chunk = images * shapes.ImagePixels;
        var places = DeformColumns.Places(device, shapes, Offset, Mask);
        var columns = device.Rent(new Shape(checked((int)chunk), shapes.RowLength), DType.F32, owner);
        for (int image = 0; image < conv.Batch; image += images)
        {
            int count = Math.Min(images, conv.Batch - image);
            long first = image * shapes.ImagePixels, pixels = count * shapes.ImagePixels;
            var gradY = GradY.Slice(first * conv.OutChannels, new Shape((int)pixels, conv.OutChannels));
            using var sides = new ProductSides(device, gradY, conv.GroupOut, Weight, depth, conv.Groups, owner);
            GpuProduct.RunGroups(device,
                new MatrixOperand(sides.A, conv.OutChannels), new Transposed<MatrixOperand>(new(sides.B, depth)),
                new((int)pixels, depth, conv.GroupOut, conv.Groups, conv.GroupOut, (long)conv.GroupOut * depth),
                ProductTarget.Matrix(device.F32(columns), shapes.RowLength, depth) with { Wide = ProductTarget.IsWide(depth, columns) },
                sides.Access, owner);
            if (!GradX.IsNone)
                ToImage(device, places, columns, image, count);
            if (!GradOffset.IsNone || !GradMask.IsNone)
                device.Launch(SamplingKernel, (pixels * shapes.Samples + SamplesAGroup - 1) / SamplesAGroup, GpuDevice.GroupSize,
                    new SamplingArguments(device.F32(columns), new DeformImage(device.F32(X), places.Grid), places,
                        device.F32(GradOffset), device.F32(GradMask), GradOffset.IsNone ? 0 : 1, GradMask.IsNone ? 0 : 1,
                        first * shapes.Samples, pixels * shapes.Samples, AccumulateOffset ? 1 : 0, AccumulateMask ? 1 : 0));
        }
        device.Return(columns);
    }

    private void ToImage(GpuDevice device, DeformPlaces places, TensorView columns, int image, int count)
    {
        var grid = places.Grid;
        long samples = count * grid.OutPixels * grid.Samples, elements = count * Shapes.ImageLength;
        int buckets = checked(count * DeformBuckets.Count(grid));
        var starts = device.Rent(new Shape(checked(buckets + 1)), DType.I32, nameof(DeformBuckets));
        var cursors = device.Rent(new Shape(buckets), DType.I32, nameof(DeformBuckets));
        var items = device.Rent(new Shape(checked((int)samples)), DType.I32, nameof(DeformBuckets));
        var sorted = new DeformBuckets(device.I32(starts), device.I32(cursors), device.I32(items), places, image * grid.OutPixels * grid.Samples, samples);
        sorted.Fill(device, starts, cursors);
        device.LaunchFor(ImageKernel, elements, new ImageArguments(
            sorted, device.F32(columns), device.F32(GradX).SubView(image * Shapes.ImageLength, elements), AccumulateX ? 1 : 0));
        device.Return(starts);
        device.Return(cursors);
        device.Return(items);
    }

    internal readonly record struct ImageArguments(DeformBuckets Buckets, ArrayView<float> GradColumns, ArrayView<float> GradX, int Accumulate);

    /// <summary>A pixel is the top-left corner of one bucket's samples, the top-right corner of its left neighbour's, and so on.</summary>
    private static void ImageKernel(ImageArguments a)
    {
        var grid = a.Buckets.Places.Grid;
        long i = Grid.GlobalLinearIndex;
        if (i >= a.GradX.Length)
            return;
        long pixel = i / grid.Channels, line = pixel / grid.Width, image = line / grid.Height;
        int channel = (int)(i - pixel * grid.Channels), column = (int)(pixel - line * grid.Width), row = (int)(line - image * grid.Height);
        long first = ((image * grid.OffsetGroups + channel / grid.GroupChannels) * (grid.Height + 1) + row) * (grid.Width + 1) + column, below = first + grid.Width + 1;
        float sum = OfBucket(a, below + 1, channel, 0) + OfBucket(a, below, channel, 1) + (OfBucket(a, first + 1, channel, 2) + OfBucket(a, first, channel, 3));
        a.GradX[i] = a.Accumulate != 0 ? a.GradX[i] + sum : sum;
    }

    private static float OfBucket(ImageArguments a, long bucket, int channel, int corner)
    {
        var grid = a.Buckets.Places.Grid;
        int last = a.Buckets.Starts[bucket + 1];
        float sum = 0;
        for (int item = a.Buckets.Starts[bucket]; item < last; item++)
        {
            int sample = a.Buckets.Items[item];
            var at = a.Buckets.Places.Of(a.Buckets.FirstSample + sample);
            float weight = corner == 0 ? at.TopLeft : corner == 1 ? at.TopRight : corner == 2 ? at.BottomLeft : at.BottomRight;
            sum += at.Mask * weight * a.GradColumns[(long)(sample / grid.Samples) * grid.RowLength + grid.Column(channel, sample % grid.Taps)];
        }
        return sum;
    }

    internal readonly record struct SamplingArguments(
        ArrayView<float> GradColumns, DeformImage Image, DeformPlaces Places, ArrayView<float> GradOffset, ArrayView<float> GradMask, int HasOffset, int HasMask,
        long FirstSample, long Samples, int AccumulateOffset, int AccumulateMask);

    /// <summary>The sums and formulas of <see cref="DeformSamplingGradientBody"/>.</summary>
    private static void SamplingKernel(SamplingArguments a)
    {
        var sums = SharedMemory.Allocate<F4>(GpuDevice.GroupSize);
        var grid = a.Places.Grid;
        int thread = Group.IdxX, lane = thread % Lanes;
        long inChunk = (long)Grid.IdxX * SamplesAGroup + thread / Lanes, sample = a.FirstSample + inChunk;
        F4 sum = default;
        DeformPlace at = default;
        if (inChunk < a.Samples)
        {
            at = a.Places.Of(sample);
            if (at.Inside != 0)
            {
                int tap = (int)(inChunk % grid.Taps), begin = (int)(inChunk / grid.Taps % grid.OffsetGroups) * grid.GroupChannels;
                long pixel = inChunk / grid.Samples, image = sample / grid.Samples / grid.OutPixels;
                for (int channel = begin + lane; channel < begin + grid.GroupChannels; channel += Lanes)
                {
                    float gradient = a.GradColumns[pixel * grid.RowLength + grid.Column(channel, tap)];
                    sum = F4.MultiplyAdd(gradient, new F4(
                        a.Image.Read(image, at.Row, at.Column, channel), a.Image.Read(image, at.Row, at.Column + 1, channel),
                        a.Image.Read(image, at.Row + 1, at.Column, channel), a.Image.Read(image, at.Row + 1, at.Column + 1, channel)), sum);
                }
            }
        }
        sums[thread] = sum;
        Group.Barrier();
        for (int half = Lanes / 2; half > 0; half /= 2)
        {
            if (lane < half)
                sums[thread] = F4.MultiplyAdd(1, sums[thread + half], sums[thread]);
            Group.Barrier();
        }
        if (lane != 0 || inChunk >= a.Samples)
            return;
        var d = sums[thread];
        if (a.HasMask != 0)
        {
            float value = at.TopLeft * d.X + at.TopRight * d.Y + at.BottomLeft * d.Z + at.BottomRight * d.W;
            a.GradMask[sample] = value + Old(a.GradMask[sample], a.AccumulateMask);
        }
        if (a.HasOffset == 0)
            return;
        float down = at.Mask * ((1 - at.Right) * (d.Z - d.X) + at.Right * (d.W - d.Y));
        float right = at.Mask * ((1 - at.Down) * (d.Y - d.X) + at.Down * (d.W - d.Z));
        a.GradOffset[2 * sample] = down + Old(a.GradOffset[2 * sample], a.AccumulateOffset);
        a.GradOffset[2 * sample + 1] = right + Old(a.GradOffset[2 * sample + 1], a.AccumulateOffset);
    }

    private static float Old(float value, int accumulate) => accumulate != 0 ? value : 0;
}
