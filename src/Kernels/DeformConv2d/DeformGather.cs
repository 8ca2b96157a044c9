using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// Makes columns: columns[pixel, group, tap, channel] = mask · Σ corners weight · x[corner, channel], a row-major matrix
/// whose rows multiply the weight (K,R,S,C/groups) as it lies in memory. Vectors along the channels.
/// </summary>
internal readonly unsafe struct DeformGather<TVector>(DeformShapes shapes, float* x, float* zeros) where TVector : unmanaged, ISimd<TVector>
{
    /// <summary>Writes the columns of some consecutive output pixels, given the samples of the same pixels.</summary>
    [MethodImpl(HotLoop.Options)]
    public void Columns(long firstPixel, int count, DeformSample* samples, float* columns)
    {
        var conv = shapes.Conv;
        int segment = shapes.Segment, segmentsOfOffsetGroup = shapes.Segments / shapes.OffsetGroups, taps = shapes.Taps;
        for (int p = 0; p < count; p++, columns += shapes.RowLength, samples += shapes.Samples)
        {
            float* image = x + (firstPixel + p) / shapes.ImagePixels * shapes.ImageLength;
            for (int s = 0; s < shapes.Segments; s++)
            {
                int channel = s * segment;
                var sample = samples + s / segmentsOfOffsetGroup * taps;
                float* to = columns + shapes.ColumnOf(channel);
                for (int tap = 0; tap < taps; tap++, sample++, to += conv.GroupIn)
                    Blend(image + channel, sample, to, segment);
            }
        }
    }

    /// <summary>Corners outside of the image read a row of zeros, so that the loop has no branches.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Blend(float* image, DeformSample* sample, float* to, int count)
    {
        float* a = Corner(image, sample->Corners[0]), b = Corner(image, sample->Corners[1]);
        float* c = Corner(image, sample->Corners[2]), d = Corner(image, sample->Corners[3]);
        float mask = sample->Mask;
        float wa = mask * sample->Weights[0], wb = mask * sample->Weights[1], wc = mask * sample->Weights[2], wd = mask * sample->Weights[3];
        TVector va = TVector.Create(wa), vb = TVector.Create(wb), vc = TVector.Create(wc), vd = TVector.Create(wd);
        int i = 0;
        for (; i + TVector.Count <= count; i += TVector.Count)
        {
            var sum = TVector.Fma(va, TVector.Load(a + i), vb * TVector.Load(b + i));
            TVector.Store(TVector.Fma(vc, TVector.Load(c + i), TVector.Fma(vd, TVector.Load(d + i), sum)), to + i);
        }
        for (; i < count; i++)
            to[i] = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private float* Corner(float* image, int offset) => offset < 0 ? zeros : image + offset;
}
