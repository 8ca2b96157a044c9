using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Takes the columns' gradient of a chunk back to the image: gradX[corner] += mask · weight · gradColumn, and for every sample
/// and corner dot = Σ channels gradColumn · x[corner], from which <see cref="DeformSamplingGradientBody"/> makes the gradients of
/// offset and mask. A task owns a slice of the channels of one image and walks the pixels in order: no two tasks write one
/// element, and the order of every sum is the same for any number of threads.
/// </summary>
/// <remarks>
/// Corners outside of the image read a row of zeros and are added to a row that nobody reads, one per worker, so that the
/// loop over the channels has no branches; without gradX all corners go there. Both rows are as long as a slice is wide.
/// </remarks>
internal readonly unsafe struct DeformScatterBody<TVector>(
    DeformShapes shapes, float* x, DeformSample* samples, float* gradColumns, float* zeros, WorkerMemory unread, float* gradX, float* dots,
    long firstPixel, long endPixel, bool accumulate) : IRangeBody
    where TVector : unmanaged, ISimd<TVector>
{
    public int Tasks => (int)((endPixel - 1) / shapes.ImagePixels - firstPixel / shapes.ImagePixels + 1) * shapes.Slices;

    public void Invoke(int start, int end, int worker)
    {
        long imagePixels = shapes.ImagePixels;
        for (int task = start; task < end; task++)
        {
            long image = firstPixel / imagePixels + task / shapes.Slices;
            long first = Math.Max(firstPixel, image * imagePixels), last = Math.Min(endPixel, (image + 1) * imagePixels);
            if (gradX != null && !accumulate && first == image * imagePixels)
                Clear(image, task % shapes.Slices);
            Scatter(image, task % shapes.Slices, first - firstPixel, last - firstPixel, unread.Floats(worker));
        }
    }

    private void Clear(long image, int slice)
    {
        var (channel, endChannel) = shapes.Slice(slice);
        float* to = gradX + image * shapes.ImageLength + channel;
        for (long i = 0; i < shapes.ImageLength; i += shapes.Conv.InChannels)
            new Span<float>(to + i, endChannel - channel).Clear();
    }

    /// <summary>Pixels [start, end) of the chunk, all of one image.</summary>
    [MethodImpl(HotLoop.Options)]
    private void Scatter(long image, int slice, long start, long end, float* unread)
    {
        var (channel, endChannel) = shapes.Slice(slice);
        int count = endChannel - channel, taps = shapes.Taps, step = shapes.Conv.GroupIn, slices = shapes.SlicesOfOffsetGroup;
        float* from = x + image * shapes.ImageLength + channel;
        float* to = gradX == null ? null : gradX + image * shapes.ImageLength + channel;
        for (long pixel = start; pixel < end; pixel++)
        {
            long at = pixel * shapes.Samples + slice / slices * taps;
            var sample = samples + at;
            float* gradient = gradColumns + pixel * shapes.RowLength + shapes.ColumnOf(channel);
            float* dot = dots + (at * slices + slice % slices) * 4;
            for (int tap = 0; tap < taps; tap++, sample++, gradient += step, dot += slices * 4)
                Corners(sample, gradient, from, to, unread, dot, count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Corners(DeformSample* sample, float* gradient, float* from, float* to, float* unread, float* dot, int count)
    {
        int oa = sample->Corners[0], ob = sample->Corners[1], oc = sample->Corners[2], od = sample->Corners[3];
        float* xa = oa < 0 ? zeros : from + oa, xb = ob < 0 ? zeros : from + ob, xc = oc < 0 ? zeros : from + oc, xd = od < 0 ? zeros : from + od;
        float* ga = oa < 0 || to == null ? unread : to + oa, gb = ob < 0 || to == null ? unread : to + ob;
        float* gc = oc < 0 || to == null ? unread : to + oc, gd = od < 0 || to == null ? unread : to + od;
        float mask = sample->Mask;
        float wa = mask * sample->Weights[0], wb = mask * sample->Weights[1], wc = mask * sample->Weights[2], wd = mask * sample->Weights[3];
        TVector va = TVector.Create(wa), vb = TVector.Create(wb), vc = TVector.Create(wc), vd = TVector.Create(wd);
        TVector sa = TVector.Zero, sb = TVector.Zero, sc = TVector.Zero, sd = TVector.Zero;
        int i = 0;
        for (; i + TVector.Count <= count; i += TVector.Count)
        {
            var g = TVector.Load(gradient + i);
            TVector.AddProduct(ref sa, g, TVector.Load(xa + i));
            TVector.AddProduct(ref sb, g, TVector.Load(xb + i));
            TVector.AddProduct(ref sc, g, TVector.Load(xc + i));
            TVector.AddProduct(ref sd, g, TVector.Load(xd + i));
            TVector.Store(TVector.Fma(g, va, TVector.Load(ga + i)), ga + i);
            TVector.Store(TVector.Fma(g, vb, TVector.Load(gb + i)), gb + i);
            TVector.Store(TVector.Fma(g, vc, TVector.Load(gc + i)), gc + i);
            TVector.Store(TVector.Fma(g, vd, TVector.Load(gd + i)), gd + i);
        }
        float a = TVector.Sum(sa), b = TVector.Sum(sb), c = TVector.Sum(sc), d = TVector.Sum(sd);
        for (; i < count; i++)
        {
            float g = gradient[i];
            (a, b, c, d) = (a + g * xa[i], b + g * xb[i], c + g * xc[i], d + g * xd[i]);
            ga[i] += wa * g;
            gb[i] += wb * g;
            gc[i] += wc * g;
            gd[i] += wd * g;
        }
        (dot[0], dot[1], dot[2], dot[3]) = (a, b, c, d);
    }
}

/// <summary>
/// With d1..d4 the dots of a sample's corners (top-left, top-right, bottom-left, bottom-right), summed over the slices in order:
/// ∂mask = Σ weight·d, ∂Δy = mask·[(1−lx)(d3−d1) + lx(d4−d2)], ∂Δx = mask·[(1−ly)(d2−d1) + ly(d4−d3)]. At whole positions
/// this is the derivative to the right. gradOffset or gradMask may be null.
/// </summary>
internal readonly unsafe struct DeformSamplingGradientBody(
    DeformShapes shapes, DeformSample* samples, float* dots, float* gradOffset, float* gradMask, long firstPixel, bool accumulateOffset, bool accumulateMask) : IRangeBody
{
    [MethodImpl(HotLoop.Options)]
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
            var sample = samples + s;
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
