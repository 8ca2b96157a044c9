using CudaKernels.Kernels.Devices;

namespace CudaKernels.Kernels;

/// <summary>
/// A copy of an image with its zero columns on both sides. In it a kernel row without dilation is one contiguous run of
/// S·C values, wherever it lies; so a window on few channels becomes a window of width 1 on many.
/// </summary>
internal static unsafe class WidthPadding
{
    /// <summary>Readable floats behind the last pixel: two vectors of the widest kind.</summary>
    private const int Slack = 32;

    /// <summary>Rents and fills the copy, (N, H, W + 2·pad, C) and the slack; the caller disposes it.</summary>
    public static Scratch Rent(CpuDevice device, TensorView image, int pad, string owner)
    {
        int rows = image.Shape[0] * image.Shape[1], row = image.Shape[2] * image.Shape[3], border = pad * image.Shape[3];
        long floats = (long)rows * (row + 2 * border);
        var padded = new Scratch(device, new Shape(checked((int)floats + Slack)), DType.F32, owner);
        device.Team.For(rows, new Body { From = image.F32, To = padded.F32, Row = row, Border = border });
        new Span<float>(padded.F32 + floats, Slack).Clear();
        return padded;
    }

    private struct Body : IRangeBody
    {
        public float* From, To;
        public int Row, Border;

        public readonly void Invoke(int start, int end, int worker)
        {
            for (nint row = start; row < end; row++)
            {
                float* to = To + row * (Row + 2 * Border);
                new Span<float>(to, Border).Clear();
                new Span<float>(From + row * Row, Row).CopyTo(new Span<float>(to + Border, Row));
                new Span<float>(to + Border + Row, Border).Clear();
            }
        }
    }
}
