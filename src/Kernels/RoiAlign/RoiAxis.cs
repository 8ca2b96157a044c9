namespace CudaKernels.Kernels;

/// <summary>
/// One axis of one RoI, the same arithmetic on both paths. Sample a of bin b lies at Start + b·Bin + (a + ½)·Bin/Samples. It reads pixel ⌊p⌋ and
/// the next one with weights 1 − w and w, w = p − ⌊p⌋, where p is the position with what lies in [−1, 0] or behind the last pixel's centre
/// moved to the nearest centre; a position outside of [−1, Size] reads nothing.
/// </summary>
internal readonly record struct RoiAxis(float Start, float Bin, int Samples, int Bins, int Size)
{
    private const int MostSamples = 1 << 24, FewSamples = 16;

    /// <param name="from">Where the box begins, in pixels of the picture.</param>
    /// <param name="to">Where it ends; in front of from is allowed.</param>
    public static RoiAxis Of(float from, float to, RoiGrid grid, int bins, int size)
    {
        float shift = grid.Aligned != 0 ? 0.5f : 0, start = from * grid.Scale - shift, length = to * grid.Scale - shift - start;
        // Finite numbers of a box may overflow here.
        if (!IsFinite(start) || !IsFinite(length))
            return new(0, 0, 0, bins, size);
        if (grid.Aligned == 0 && length < 1)
            length = 1;
        float bin = length / bins;
        return new(start, bin, grid.SamplingRatio > 0 ? grid.SamplingRatio : Ceiling(bin), bins, size);
    }

    /// <summary>The first pixel a sample reads and the weight of the next one; −1 for a sample outside.</summary>
    public int Position(int bin, int sample, out float next)
    {
        float at = At(bin, sample);
        next = 0;
        if (at < -1 || at > Size)
            return -1;
        if (at <= 0)
            return 0;
        int low = (int)at;
        if (low >= Size - 1)
            return Size - 1;
        next = at - low;
        return low;
    }

    /// <summary>A range that holds every sample of a bin that lies in [from, to]; all of them where they are few.</summary>
    public void SamplesIn(int bin, float from, float to, out int first, out int end)
    {
        first = 0;
        end = Samples;
        if (Samples <= FewSamples || Bin <= 1)
            return;
        float origin = Start + bin * Bin, step = Bin / Samples;
        first = Clamp((from - origin) / step - 2, Samples);
        end = Clamp((to - origin) / step + 2, Samples);
    }

    /// <summary>The weight with which a bin reads a pixel, before the division by the number of samples.</summary>
    public float Weight(int bin, int pixel)
    {
        SamplesIn(bin, Before(pixel), Behind(pixel), out int first, out int end);
        float weight = 0;
        for (int sample = first; sample < end; sample++)
        {
            int low = Position(bin, sample, out float next);
            weight += low == pixel ? 1 - next : low >= 0 && low + 1 == pixel ? next : 0;
        }
        return weight;
    }

    /// <summary>Bins outside of [first, end) do not read the pixel.</summary>
    public void BinsAt(int pixel, out int first, out int end)
    {
        first = 0;
        end = Bins;
        if (Bin == 0)
            return;
        float a = (Before(pixel) - Start) / Bin, b = (Behind(pixel) - Start) / Bin;
        float slack = 1e-5f + 1e-6f * ((Start < 0 ? -Start : Start) + Size) / (Bin < 0 ? -Bin : Bin);
        first = Clamp((a < b ? a : b) - slack, Bins);
        end = Clamp((a < b ? b : a) + slack + 1, Bins);
    }

    /// <summary>Pixels outside of [first, end) are read by no sample.</summary>
    public void Pixels(out int first, out int end)
    {
        first = end = 0;
        float a = At(0, 0), b = At(Bins - 1, Samples - 1), low = a < b ? a : b, high = a < b ? b : a;
        if (Samples == 0 || high < -1 || low > Size)
            return;
        first = Clamp(low - 1, Size);
        end = Clamp(high + 3, Size);
    }

    private float At(int bin, int sample) => Start + bin * Bin + (sample + 0.5f) * Bin / Samples;

    private float Before(int pixel) => pixel - 1;

    private float Behind(int pixel) => pixel == Size - 1 ? Size : pixel + 1;

    /// <summary>Cut off towards zero and to [0, most], before it becomes an integer.</summary>
    private static int Clamp(float value, int most) => (int)(value < 0 ? 0 : value > most ? most : value);

    private static int Ceiling(float value)
    {
        int whole = Clamp(value, MostSamples);
        return whole < value && whole < MostSamples ? whole + 1 : whole;
    }

    /// <summary>Told by the bits, which no compiler's view of comparisons changes.</summary>
    public static bool IsFinite(float value) => (BitConverter.SingleToInt32Bits(value) & 0x7fffffff) < 0x7f800000;
}
