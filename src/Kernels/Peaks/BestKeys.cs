namespace CudaKernels.Kernels;

/// <summary>The K smallest <see cref="SortKey"/>s seen, as a heap with the largest on top, in memory of the caller.</summary>
internal unsafe ref struct BestKeys(ulong* heap, int capacity)
{
    /// <summary>Fills the places of <see cref="Close"/>; larger than every key of a number.</summary>
    public const ulong None = ulong.MaxValue;

    private int count;

    /// <summary>A value below this cannot enter; one equal to it may.</summary>
    public float Bar { get; private set; } = float.NegativeInfinity;

    public void Add(ulong key)
    {
        if (count < capacity)
        {
            Up(count++, key);
        }
        else if (key < heap[0])
        {
            Down(key);
        }
        if (count == capacity)
            Bar = SortKey.Value(heap[0]);
    }

    /// <summary>Marks the places that stayed empty.</summary>
    public readonly void Close() => new Span<ulong>(heap + count, capacity - count).Fill(None);

    private readonly void Up(int at, ulong key)
    {
        while (at > 0 && heap[(at - 1) / 2] < key)
        {
            heap[at] = heap[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap[at] = key;
    }

    private readonly void Down(ulong key)
    {
        int at = 0;
        while (true)
        {
            int child = 2 * at + 1;
            if (child >= count)
                break;
            if (child + 1 < count && heap[child + 1] > heap[child])
                child++;
            if (heap[child] <= key)
                break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = key;
    }
}
