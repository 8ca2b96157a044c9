using System.Numerics;
using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The ILGPU path, by suppression masks. A box's place in the order is the number of keys below its own. Then bit j of word w of row i says whether sorted
/// box i strikes out sorted box 64 w + j; one group walks the rows 64 at a time: one thread decides the 64 boxes by the words on the
/// diagonal, all threads join the rows of the survivors into what is struck out behind them.
/// </summary>
internal readonly unsafe partial record struct Nms
{
    private const int SortThreads = 256, Word = 64, WalkThreads = 256;

    public void Run(GpuDevice device)
    {
        int count = Boxes.Shape[0], words = (count + Word - 1) / Word;
        using var sorted = new GpuRecords<Candidate>(device, count, nameof(Nms));
        TensorView mask = device.Rent(new Shape(count, words, 2), DType.I32, nameof(Nms)), struck = device.Rent(new Shape(words, 2), DType.I32, nameof(Nms));
        device.Fill(struck, 0);
        var a = new Arguments(
            device.F32(Boxes), device.F32(Scores), device.I32(Classes), sorted.View, device.I32(mask).Cast<ulong>(),
            device.I32(struck).Cast<ulong>(), device.I32(Keep), device.I32(Count), count, words, Threshold, Offset);
        device.Launch(SortKernel, (count + SortThreads - 1) / SortThreads, SortThreads, a);
        device.Launch(MaskKernel, (long)words * words, Word, a);
        device.Launch(WalkKernel, 1, WalkThreads, a);
        device.Return(mask);
        device.Return(struck);
    }

    internal readonly record struct Candidate(float X1, float Y1, float X2, float Y2, float Area, int Class, int Index)
    {
        /// <summary>The formula of the CPU path, in its order.</summary>
        public bool Strikes(Candidate other, float threshold, float offset)
        {
            float width = Math.Min(other.X2, X2) - Math.Max(other.X1, X1) + offset;
            float height = Math.Min(other.Y2, Y2) - Math.Max(other.Y1, Y1) + offset;
            float shared = (width > 0 ? width : 0) * (height > 0 ? height : 0);
            float iou = shared / (Area + other.Area - shared);
            // OpenCL turns the comparison round and then takes 0/0 for a hit.
            bool number = (BitConverter.SingleToInt32Bits(iou) & 0x7FFFFFFF) <= 0x7F800000;
            return Class == other.Class && number && iou > threshold;
        }
    }

    internal readonly record struct Arguments(
        ArrayView<float> Boxes, ArrayView<float> Scores, ArrayView<int> Classes, ArrayView<Candidate> Sorted, ArrayView<ulong> Mask, ArrayView<ulong> Struck,
        ArrayView<int> Keep, ArrayView<int> Kept, int Count, int Words, float Threshold, float Offset);

    private static void SortKernel(Arguments a)
    {
        var tile = SharedMemory.Allocate<ulong>(SortThreads);
        int i = Grid.IdxX * SortThreads + Group.IdxX, rank = 0;
        ulong key = i < a.Count ? SortKey.Descending(a.Scores[i], i) : 0;
        for (int start = 0; start < a.Count; start += SortThreads)
        {
            int j = start + Group.IdxX;
            tile[Group.IdxX] = j < a.Count ? SortKey.Descending(a.Scores[j], j) : ulong.MaxValue;
            Group.Barrier();
            for (int k = 0; k < SortThreads; k++)
                if (tile[k] < key)
                    rank++;
            Group.Barrier();
        }
        if (i >= a.Count)
            return;
        long at = 4L * i;
        float x1 = a.Boxes[at], y1 = a.Boxes[at + 1], x2 = a.Boxes[at + 2], y2 = a.Boxes[at + 3];
        float area = (x2 - x1 + a.Offset) * (y2 - y1 + a.Offset);
        a.Sorted[rank] = new Candidate(x1, y1, x2, y2, area, a.Classes.Length == 0 ? 0 : a.Classes[i], i);
    }

    private static void MaskKernel(Arguments a)
    {
        var columns = SharedMemory.Allocate<Candidate>(Word);
        int block = Grid.IdxX / a.Words, word = Grid.IdxX % a.Words, i = block * Word + Group.IdxX, first = word * Word;
        if (word < block)
            return; // decided before: nobody asks
        if (first + Group.IdxX < a.Count)
            columns[Group.IdxX] = a.Sorted[first + Group.IdxX];
        Group.Barrier();
        if (i >= a.Count)
            return;
        var own = a.Sorted[i];
        ulong bits = 0;
        int end = Math.Min(Word, a.Count - first);
        for (int k = 0; k < end; k++)
            if (first + k > i && own.Strikes(columns[k], a.Threshold, a.Offset))
                bits |= 1ul << k;
        a.Mask[(long)i * a.Words + word] = bits;
    }

    private static void WalkKernel(Arguments a)
    {
        var diagonal = SharedMemory.Allocate<ulong>(Word);
        var survivors = SharedMemory.Allocate<ulong>(1);
        int thread = Group.IdxX, kept = 0;
        for (int block = 0; block < a.Words; block++)
        {
            int first = block * Word, size = Math.Min(Word, a.Count - first);
            if (thread < size)
                diagonal[thread] = a.Mask[(long)(first + thread) * a.Words + block];
            Group.Barrier();
            if (thread == 0)
            {
                ulong struck = a.Struck[block], stay = 0;
                for (int k = 0; k < size; k++)
                    if ((struck >> k & 1) == 0)
                    {
                        stay |= 1ul << k;
                        struck |= diagonal[k];
                    }
                survivors[0] = stay;
            }
            Group.Barrier();
            ulong bits = survivors[0];
            for (int word = block + 1 + thread; word < a.Words; word += WalkThreads)
            {
                ulong struck = a.Struck[word];
                for (int k = 0; k < size; k++)
                    if ((bits >> k & 1) != 0)
                        struck |= a.Mask[(long)(first + k) * a.Words + word];
                a.Struck[word] = struck;
            }
            if (thread < size && (bits >> thread & 1) != 0)
                a.Keep[kept + BitOperations.PopCount(bits & ((1ul << thread) - 1))] = a.Sorted[first + thread].Index;
            kept += BitOperations.PopCount(bits);
            Group.Barrier();
        }
        for (int i = kept + thread; i < a.Count; i += WalkThreads)
            a.Keep[i] = -1;
        if (thread == 0)
            a.Kept[0] = kept;
    }
}
