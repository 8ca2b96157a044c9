using System.Runtime.CompilerServices;
using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels;

/// <summary>
/// One bilinear sampling position: where its four corners lie in the image and what they weigh. The point is
/// (y, x) = (out·stride − pad + tap·dilation + Δ); at y &lt; −1, y ≥ H, x &lt; −1 or x ≥ W every corner is outside. At exactly −1 the
/// corners inside weigh nothing, but the derivative to the right sees them. A Δ that is not a number makes weights that are
/// not numbers, so that it shows in the result.
/// </summary>
internal struct DeformSample
{
    /// <summary>Element of channel 0 of the top-left, top-right, bottom-left, bottom-right pixel; −1 outside of the image.</summary>
    public CornerOffsets Corners;

    /// <summary>Bilinear weights, without the mask.</summary>
    public CornerWeights Weights;

    /// <summary>1 where the operation has no mask.</summary>
    public float Mask;

    /// <summary>Distances from the top-left corner.</summary>
    public float DownFraction, RightFraction;

    [InlineArray(4)]
    public struct CornerOffsets
    {
        private int first;
    }

    [InlineArray(4)]
    public struct CornerWeights
    {
        private float first;
    }
}

/// <summary>
/// Places samples: [pixel, offset group, tap]. Offset channel of offset group g and tap k: 2(g·taps + k) is Δy, the next one
/// Δx; mask channel g·taps + k.
/// </summary>
internal readonly unsafe struct DeformSampler(DeformShapes shapes, float* offset, float* mask)
{
    /// <summary>Writes the samples of some consecutive output pixels.</summary>
    [MethodImpl(HotLoop.Options)]
    public void Samples(long firstPixel, int count, DeformSample* to)
    {
        var conv = shapes.Conv;
        var window = conv.Window;
        float* delta = offset + firstPixel * 2 * shapes.Samples;
        float* factor = mask == null ? null : mask + firstPixel * shapes.Samples;
        for (long pixel = firstPixel; pixel < firstPixel + count; pixel++)
        {
            int inImage = (int)(pixel % shapes.ImagePixels);
            int top = inImage / conv.OutWidth * window.StrideY - window.PadY, left = inImage % conv.OutWidth * window.StrideX - window.PadX;
            for (int g = 0; g < shapes.OffsetGroups; g++)
                for (int i = 0; i < window.KernelHeight; i++)
                    for (int j = 0; j < window.KernelWidth; j++, delta += 2, to++)
                    {
                        Place(to, top + i * window.DilationY + delta[0], left + j * window.DilationX + delta[1]);
                        to->Mask = factor == null ? 1 : *factor++;
                    }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Place(DeformSample* to, float y, float x)
    {
        int height = shapes.Conv.Height, width = shapes.Conv.Width, channels = shapes.Conv.InChannels;
        if (y < -1 || y >= height || x < -1 || x >= width)
        {
            *to = default;
            for (int corner = 0; corner < 4; corner++)
                to->Corners[corner] = -1;
            return;
        }
        float floorY = MathF.Floor(y), floorX = MathF.Floor(x);
        int row = (int)floorY, column = (int)floorX;
        float down = y - floorY, right = x - floorX;
        bool rowIn = row >= 0, nextRowIn = row + 1 < height, columnIn = column >= 0, nextColumnIn = column + 1 < width;
        int at = (row * width + column) * channels;
        to->Corners[0] = rowIn && columnIn ? at : -1;
        to->Corners[1] = rowIn && nextColumnIn ? at + channels : -1;
        to->Corners[2] = nextRowIn && columnIn ? at + width * channels : -1;
        to->Corners[3] = nextRowIn && nextColumnIn ? at + (width + 1) * channels : -1;
        to->Weights[0] = (1 - down) * (1 - right);
        to->Weights[1] = (1 - down) * right;
        to->Weights[2] = down * (1 - right);
        to->Weights[3] = down * right;
        to->DownFraction = down;
        to->RightFraction = right;
    }
}
