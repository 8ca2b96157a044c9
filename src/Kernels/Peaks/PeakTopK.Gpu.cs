using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path. A first kernel writes the score part of every cell's <see cref="SortKey"/> (all bits set: not a peak). Then the
/// K-th smallest key is found digit by digit from the top: a histogram over the keys that agree with the digits found so far, and one group
/// that picks the digit and stops the search once everything left belongs to the best. The keys up to that limit are gathered, in any order, and
/// each one's rank among them is its place in the output. Keys are unique and the atomics count integers, so the result has one value.
/// </summary>
internal readonly unsafe partial record struct PeakTopK
{
    private const int GroupSize = 256, PerThread = 16, Digit = 11, Bins = 1 << Digit;
    private const uint NoPeak = uint.MaxValue;

    public void Run(GpuDevice device)
    {
        int batch = Logits.Shape[0], height = Logits.Shape[1], width = Logits.Shape[2], classes = Logits.Shape[3];
        int length = height * width * classes, groups = (int)(((long)length + GroupSize * PerThread - 1) / (GroupSize * PerThread));
        TensorView keys = Rent(device, batch, length), histogram = Rent(device, batch, Bins), found = Rent(device, batch, 1);
        TensorView selection = Rent(device, batch, 4), best = Rent(device, batch, 2 * K);
        device.Fill(histogram, 0);
        device.Fill(found, 0);
        var a = new Arguments(
            device.F32(Logits), device.I32(keys).Cast<uint>(), device.I32(histogram), device.I32(selection).Cast<Selection>(), device.I32(found),
            device.I32(best).Cast<ulong>(), height, width, classes, length, groups, K, 0, 0);
        device.LaunchFor(PeakKernel, (long)batch * length, a);
        for (int shift = 64 - Digit, bits = Digit; bits > 0; bits = Math.Min(Digit, shift), shift -= bits)
        {
            var pass = a with { Shift = shift, Bits = bits };
            device.Launch(HistogramKernel, (long)batch * groups, GroupSize, pass);
            device.Launch(SelectKernel, batch, GroupSize, pass);
        }
        device.Launch(GatherKernel, (long)batch * groups, GroupSize, a);
        device.LaunchFor(RankKernel, (long)batch * K, new RankArguments(
            a.Best, a.Found, device.F32(Scores), device.I32(Classes), device.I32(Cells), K, height * width));
        foreach (var scratch in (ReadOnlySpan<TensorView>)[keys, histogram, found, selection, best])
            device.Return(scratch);
    }

    private static TensorView Rent(GpuDevice device, int batch, int columns) => device.Rent(new Shape(batch, columns), DType.I32, nameof(PeakTopK));

    /// <summary>How far the search of one image is.</summary>
    /// <param name="Limit">The digits found so far; once done, the largest key that belongs to the best.</param>
    /// <param name="Remaining">How many of the keys that agree with the digits belong to the best.</param>
    /// <param name="Done">1: the limit is final.</param>
    internal readonly record struct Selection(ulong Limit, int Remaining, int Done);

    /// <param name="Shift">Position of the digit of this pass.</param>
    /// <param name="Bits">Its bits; the last pass has the fewer that are left.</param>
    internal readonly record struct Arguments(
        ArrayView<float> Logits, ArrayView<uint> Keys, ArrayView<int> Histogram, ArrayView<Selection> Selection, ArrayView<int> Found, ArrayView<ulong> Best,
        int Height, int Width, int Classes, int Length, int Groups, int K, int Shift, int Bits)
    {
        /// <summary>Key of element i of an image: score, then class, then cell.</summary>
        public ulong Key(uint score, int i) => (ulong)score << 32 | (uint)(i % Classes * (Height * Width) + i / Classes);
    }

    private static void PeakKernel(Arguments a)
    {
        long at = Grid.GlobalLinearIndex;
        if (at >= a.Keys.Length)
            return;
        int i = (int)(at % a.Length), cell = i / a.Classes, x = cell % a.Width, y = cell / a.Width;
        float logit = a.Logits[at];
        // Also false beside a not-a-number, as on the CPU.
        bool peak = logit > float.NegativeInfinity;
        for (int v = Math.Max(0, y - 1); v <= Math.Min(a.Height - 1, y + 1); v++)
            for (int u = Math.Max(0, x - 1); u <= Math.Min(a.Width - 1, x + 1); u++)
                peak = peak && a.Logits[at + ((long)(v - y) * a.Width + (u - x)) * a.Classes] <= logit;
        a.Keys[at] = peak ? (uint)(SortKey.Descending(logit, 0) >> 32) : NoPeak;
    }

    private static void HistogramKernel(Arguments a)
    {
        var bins = SharedMemory.Allocate<int>(Bins);
        int image = Grid.IdxX / a.Groups, start = Grid.IdxX % a.Groups * (GroupSize * PerThread) + Group.IdxX;
        bool first = a.Shift == 64 - Digit;
        var selection = a.Selection[image];
        if (!first && selection.Done != 0)
            return;
        for (int bin = Group.IdxX; bin < Bins; bin += GroupSize)
            bins[bin] = 0;
        Group.Barrier();
        for (int k = 0; k < PerThread; k++)
        {
            int i = start + k * GroupSize;
            if (i >= 0 && i < a.Length)
            {
                uint score = a.Keys[(long)image * a.Length + i];
                ulong digits = a.Key(score, i) >> a.Shift;
                if (score != NoPeak && (first || digits >> a.Bits == selection.Limit))
                    Atomic.Add(ref bins[(int)(digits & ((1ul << a.Bits) - 1))], 1);
            }
        }
        Group.Barrier();
        for (int bin = Group.IdxX; bin < Bins; bin += GroupSize)
            if (bins[bin] != 0)
                Atomic.Add(ref a.Histogram[(long)image * Bins + bin], bins[bin]);
    }

    private static void SelectKernel(Arguments a)
    {
        const int share = Bins / GroupSize;
        var sums = SharedMemory.Allocate<int>(GroupSize);
        int image = Grid.IdxX, thread = Group.IdxX;
        long start = (long)image * Bins;
        bool first = a.Shift == 64 - Digit;
        var selection = a.Selection[image];
        if (!first && selection.Done != 0)
            return;
        int sum = 0;
        for (int k = 0; k < share; k++)
            sum += a.Histogram[start + share * thread + k];
        sums[thread] = sum;
        Group.Barrier();
        if (thread == 0)
        {
            int remaining = first ? a.K : selection.Remaining, bin = 0, count = 0;
            ulong prefix = first ? 0 : selection.Limit;
            while (bin < Bins && sums[bin / share] < remaining)
            {
                remaining -= sums[bin / share];
                bin += share;
            }
            if (bin == Bins)
                a.Selection[image] = new Selection(ulong.MaxValue, 0, 1); // fewer peaks than asked for: all of them
            else
            {
                count = a.Histogram[start + bin];
                while (count < remaining)
                {
                    remaining -= count;
                    bin++;
                    count = a.Histogram[start + bin];
                }
                prefix = prefix << a.Bits | (uint)bin;
                int done = count == remaining ? 1 : 0;
                a.Selection[image] = new Selection(done != 0 ? (prefix << a.Shift) + ((1ul << a.Shift) - 1) : prefix, remaining, done);
            }
        }
        Group.Barrier();
        for (int k = 0; k < share; k++)
            a.Histogram[start + share * thread + k] = 0;
    }

    private static void GatherKernel(Arguments a)
    {
        int image = Grid.IdxX / a.Groups, start = Grid.IdxX % a.Groups * (GroupSize * PerThread) + Group.IdxX;
        ulong limit = a.Selection[image].Limit;
        for (int k = 0; k < PerThread; k++)
        {
            int i = start + k * GroupSize;
            if (i >= 0 && i < a.Length)
            {
                uint score = a.Keys[(long)image * a.Length + i];
                ulong key = a.Key(score, i);
                if (score != NoPeak && key <= limit)
                    a.Best[(long)image * a.K + Atomic.Add(ref a.Found[image], 1)] = key;
            }
        }
    }

    internal readonly record struct RankArguments(
        ArrayView<ulong> Best, ArrayView<int> Found, ArrayView<float> Scores, ArrayView<int> Classes, ArrayView<int> Cells, int K, int CellCount);

    private static void RankKernel(RankArguments a)
    {
        long at = Grid.GlobalLinearIndex;
        if (at >= a.Scores.Length)
            return;
        long image = at / a.K, first = image * a.K;
        int found = a.Found[image];
        if (at - first >= found)
        {
            a.Scores[at] = 0;
            a.Classes[at] = -1;
            a.Cells[at] = -1;
            return;
        }
        ulong key = a.Best[at];
        long to = first;
        for (int i = 0; i < found; i++)
            if (a.Best[first + i] < key)
                to++;
        int index = SortKey.Index(key);
        a.Scores[to] = GpuMath.Sigmoid(SortKey.Value(key));
        a.Classes[to] = index / a.CellCount;
        a.Cells[to] = index % a.CellCount;
    }
}
