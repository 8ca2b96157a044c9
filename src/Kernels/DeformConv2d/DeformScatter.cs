using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Takes the columns' gradient of a chunk back to the image: gradX[corner] += mask · weight · gradColumn, and for every sample
/// and corner dot = Σ channels gradColumn · x[corner], from which <see cref="DeformSamplingGradientBody"/> makes the gradients of
/// offset and mask. A task owns a slice of the channels of one image and walks the pixels in order: no two tasks write one
/// element, and the order of every sum is the same for any number of threads. gradX or dots may be null.
/// </summary>
internal readonly unsafe struct DeformScatterBody<TVector>(
    DeformShapes shapes, float* x, DeformSample* table, float* gradColumns, float* gradX, float* dots, long firstPixel, long endPixel, bool accumulate) : IRangeBody
    where TVector : unmanaged, ISimd<TVector>
{
    public int Tasks => (int)((endPixel - 1) / shapes.ImagePixels - firstPixel / shapes.ImagePixels + 1) * shapes.Slices;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Invoke(int start, int end, int worker)
    {
        var conv = shapes.Conv;
        long imagePixels = shapes.ImagePixels, imageLength = shapes.ImageLength;
        for (int task = start; task < end; task++)
        {
            long image = firstPixel / imagePixels + task / shapes.Slices;
            int slice = task % shapes.Slices;
            var (channel, endChannel) = shapes.Slice(slice);
            long first = Math.Max(firstPixel, image * imagePixels), last = Math.Min(endPixel, (image + 1) * imagePixels);
            float* from = x + image * imageLength + channel;
            float* to = gradX == null ? null : gradX + image * imageLength + channel;
            if (to != null && !accumulate && first == image * imagePixels)
                for (long i = 0; i < imageLength; i += conv.InChannels)
                    new Span<float>(to + i, endChannel - channel).Clear();
            int group = slice / shapes.SlicesOfOffsetGroup, sliceOfGroup = slice % shapes.SlicesOfOffsetGroup, column = shapes.ColumnOf(channel);
            for (long pixel = first; pixel < last; pixel++)
            {
                long p = pixel - firstPixel, at = p * shapes.Samples + group * shapes.Taps;
                var sample = table + at;
                float* gradient = gradColumns + p * shapes.RowLength + column;
                float* dot = dots == null ? null : dots + (at * shapes.SlicesOfOffsetGroup + sliceOfGroup) * 4;
                for (int tap = 0; tap < shapes.Taps; tap++, sample++, gradient += conv.GroupIn)
                {
                    for (int corner = 0; corner < 4; corner++)
                    {
                        int offset = sample->Corners[corner];
                        if (to != null && offset >= 0)
                            Add(sample->Mask * sample->Weights[corner], gradient, to + offset, endChannel - channel);
                        if (dot != null)
                            dot[corner] = offset < 0 ? 0 : Dot(gradient, from + offset, endChannel - channel);
                    }
                    dot += dot == null ? 0 : shapes.SlicesOfOffsetGroup * 4;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float factor, float* from, float* to, int count)
    {
        var factors = TVector.Create(factor);
        int i = 0;
        for (; i + TVector.Count <= count; i += TVector.Count)
            TVector.Store(TVector.Fma(factors, TVector.Load(from + i), TVector.Load(to + i)), to + i);
        for (; i < count; i++)
            to[i] += factor * from[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Dot(float* a, float* b, int count)
    {
        var sums = TVector.Zero;
        int i = 0;
        for (; i + TVector.Count <= count; i += TVector.Count)
            sums = TVector.Fma(TVector.Load(a + i), TVector.Load(b + i), sums);
        float sum = TVector.Sum(sums);
        for (; i < count; i++)
            sum += a[i] * b[i];
        return sum;
    }
}

/// <summary>
/// With d1..d4 the dots of a sample's corners (top-left, top-right, bottom-left, bottom-right), summed over the slices in order:
/// ∂mask = Σ weight·d, ∂Δy = mask·[(1−lx)(d3−d1) + lx(d4−d2)], ∂Δx = mask·[(1−ly)(d2−d1) + ly(d4−d3)]. At whole positions
/// this is the derivative to the right. gradOffset or gradMask may be null.
/// </summary>
internal readonly unsafe struct DeformSamplingGradientBody(
    DeformShapes shapes, DeformSample* table, float* dots, float* gradOffset, float* gradMask, long firstPixel, bool accumulateOffset, bool accumulateMask) : IRangeBody
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Invoke(int start, int end, int worker)
    {
        int slices = shapes.SlicesOfOffsetGroup;
        long endSample = (long)end * shapes.Samples, shift = firstPixel * shapes.Samples;
        for (long s = (long)start * shapes.Samples; s < endSample; s++)
        {
            float* dot = dots + s * slices * 4;
            float a = 0, b = 0, c = 0, d = 0;
            for (int i = 0; i < slices; i++, dot += 4)
                (a, b, c, d) = (a + dot[0], b + dot[1], c + dot[2], d + dot[3]);
            var sample = table + s;
            if (gradMask != null)
                Write(gradMask + shift + s, sample->Weights[0] * a + sample->Weights[1] * b + sample->Weights[2] * c + sample->Weights[3] * d, accumulateMask);
            if (gradOffset == null)
                continue;
            float down = sample->DownFraction, right = sample->RightFraction;
            float* to = gradOffset + 2 * (shift + s);
            Write(to, sample->Mask * ((1 - right) * (c - a) + right * (d - b)), accumulateOffset);
            Write(to + 1, sample->Mask * ((1 - down) * (b - a) + down * (d - c)), accumulateOffset);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* to, float value, bool accumulate) => *to = accumulate ? *to + value : value;
}
