using CudaKernels.Kernels.Devices;
using ILGPU;

namespace CudaKernels.Kernels;

/// <summary>
/// The samples of some images by the pixel that is their top-left corner, so that the gradient of a pixel can be gathered from the samples that read
/// it: counted, summed up to where each bucket begins, filled, and each bucket sorted. Filling uses integer atomics, whose order varies; sorting takes that
/// away. Corners reach from −1 to the last row and column; a bucket is (image, offset group, row + 1, column + 1). Samples outside are in none.
/// </summary>
internal readonly record struct DeformBuckets(ArrayView<int> Starts, ArrayView<int> Cursors, ArrayView<int> Items, DeformPlaces Places, long FirstSample, long Samples)
{
    private const int ScanThreads = 256;

    /// <summary>Buckets of one image.</summary>
    public static int Count(DeformGrid grid) => checked(grid.OffsetGroups * (grid.Height + 1) * (grid.Width + 1));

    /// <summary>Sorts the samples of some images, given memory: one start and one cursor a bucket and one more start, and an item a sample.</summary>
    public void Fill(GpuDevice device, TensorView starts, TensorView cursors)
    {
        device.Fill(cursors, 0);
        device.LaunchFor(CountKernel, Samples, this);
        device.Launch(ScanKernel, 1, ScanThreads, this);
        device.LaunchFor(FillKernel, Samples, this);
        device.LaunchFor(SortKernel, starts.Length - 1, this);
    }

    /// <summary>The bucket of a sample of the chunk, −1 for none.</summary>
    private long Bucket(long inChunk)
    {
        var grid = Places.Grid;
        var at = Places.Of(FirstSample + inChunk);
        long line = inChunk / grid.Taps, image = line / grid.OffsetGroups / grid.OutPixels;
        return at.Inside == 0 ? -1 : ((image * grid.OffsetGroups + line % grid.OffsetGroups) * (grid.Height + 1) + at.Row + 1) * (grid.Width + 1) + at.Column + 1;
    }

    private static void CountKernel(DeformBuckets a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Samples)
            return;
        long bucket = a.Bucket(i);
        if (bucket >= 0)
            Atomic.Add(ref a.Cursors[bucket], 1);
    }

    /// <summary>One group: each thread sums its run of buckets, thread 0 the runs, each thread its run again from there.</summary>
    private static void ScanKernel(DeformBuckets a)
    {
        var sums = SharedMemory.Allocate<int>(ScanThreads);
        int thread = Group.IdxX;
        long count = a.Cursors.Length, first = count * thread / ScanThreads, last = count * (thread + 1) / ScanThreads;
        int sum = 0;
        for (long i = first; i < last; i++)
            sum += a.Cursors[i];
        sums[thread] = sum;
        Group.Barrier();
        if (thread == 0)
        {
            int total = 0;
            for (int i = 0; i < ScanThreads; i++)
            {
                int own = sums[i];
                sums[i] = total;
                total += own;
            }
            a.Starts[count] = total;
        }
        Group.Barrier();
        int start = sums[thread];
        for (long i = first; i < last; i++)
        {
            int own = a.Cursors[i];
            a.Starts[i] = start;
            a.Cursors[i] = start;
            start += own;
        }
    }

    private static void FillKernel(DeformBuckets a)
    {
        long i = Grid.GlobalLinearIndex;
        if (i >= a.Samples)
            return;
        long bucket = a.Bucket(i);
        if (bucket >= 0)
            a.Items[Atomic.Add(ref a.Cursors[bucket], 1)] = (int)i;
    }

    /// <summary>Shell sort: a bucket holds about a tap's number of samples, but may hold all.</summary>
    private static void SortKernel(DeformBuckets a)
    {
        long bucket = Grid.GlobalLinearIndex;
        if (bucket >= a.Cursors.Length)
            return;
        int first = a.Starts[bucket], last = a.Starts[bucket + 1], gap = 1;
        while (gap < (last - first) / 3)
            gap = 3 * gap + 1;
        for (; gap > 0; gap /= 3)
            for (int i = first + gap; i < last; i++)
            {
                int item = a.Items[i], to = i;
                while (to - gap >= first && a.Items[to - gap] > item)
                {
                    a.Items[to] = a.Items[to - gap];
                    to -= gap;
                }
                a.Items[to] = item;
            }
    }
}
