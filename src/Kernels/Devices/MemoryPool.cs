namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Size classes over a raw allocator: four per power of two, 64-byte steps at the small end, so at most a quarter is wasted.
/// A returned block serves the next request of its class. Any thread may rent and return.
/// </summary>
internal abstract class MemoryPool(Device device) : IDisposable
{
    private readonly Dictionary<long, Stack<DeviceBuffer>> free = [];
    private readonly HashSet<DeviceBuffer> live = [];
    private readonly Lock gate = new();
    private DeviceBuffer? workers; // live or free; no other request gets it

    protected Device Device { get; } = device;

    public long LiveBytes { get; private set; }

    public long CachedBytes { get; private set; }

    /// <summary>Highest value <see cref="LiveBytes"/> has had since the last <see cref="ResetPeak"/>.</summary>
    public long PeakBytes { get; private set; }

    public long Requests { get; private set; }

    /// <summary>Bytes that can still be rented, as far as the system tells: free blocks and what it has left.</summary>
    public long AvailableBytes => CachedBytes + SystemBytes;

    public void ResetPeak() => PeakBytes = LiveBytes;

    public DeviceBuffer Rent(long bytes, string owner)
    {
        long size = SizeClass(bytes);
        lock (gate)
        {
            Requests++;
            if (!(free.TryGetValue(size, out var stack) && stack.TryPop(out var block)))
                block = Create(size, owner);
            else
                CachedBytes -= size;
            return Live(block, owner);
        }
    }

    /// <summary>The block that the workers of a device divide (<see cref="WorkerScratch"/>): always the same one, until one asks for more than it has.</summary>
    public DeviceBuffer RentForWorkers(long bytes, string owner)
    {
        lock (gate)
        {
            Requests++;
            if (workers is not null && live.Contains(workers))
                throw new KernelException($"{owner}: the memory of the workers is in use by {workers.Owner}; rent it once a kernel");
            if (workers is null || workers.Bytes < bytes)
            {
                DropWorkers();
                workers = Create(SizeClass(bytes), owner);
            }
            else
                CachedBytes -= workers.Bytes;
            return Live(workers, owner);
        }
    }

    public void Return(DeviceBuffer block)
    {
        lock (gate)
        {
            if (!live.Remove(block))
                throw new KernelException($"MemoryPool: a block of {block.Bytes} bytes was returned twice");
            block.Owner = null;
            LiveBytes -= block.Bytes;
            CachedBytes += block.Bytes;
            if (block == workers)
                return;
            if (!free.TryGetValue(block.Bytes, out var stack))
                free[block.Bytes] = stack = new Stack<DeviceBuffer>();
            stack.Push(block);
        }
    }

    /// <summary>Gives every free block back to the system.</summary>
    public void Trim()
    {
        lock (gate)
        {
            foreach (var stack in free.Values)
                while (stack.TryPop(out var block))
                    Free(block);
            if (workers is not null && !live.Contains(workers))
                DropWorkers();
            CachedBytes = 0;
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            Trim();
            foreach (var block in live)
                Free(block);
            live.Clear();
            LiveBytes = 0;
        }
    }

    /// <summary>A new block, aligned to 64 bytes or more; null when the device has no room.</summary>
    protected abstract DeviceBuffer? Allocate(long bytes);

    protected abstract void Free(DeviceBuffer block);

    /// <summary>What the system has left for this pool.</summary>
    protected abstract long SystemBytes { get; }

    /// <summary>How much there is, for the message that it does not suffice; empty if unknown.</summary>
    protected virtual string Room => "";

    internal static long SizeClass(long bytes)
    {
        if (bytes <= 256)
            return Math.Max(64, (bytes + 63) / 64 * 64);
        long step = 1L << (63 - System.Numerics.BitOperations.LeadingZeroCount((ulong)(bytes - 1)) - 2);
        return (bytes + step - 1) / step * step;
    }

    protected static string Size(long bytes) => bytes >= 1 << 20 ? $"{bytes >> 20} MiB" : $"{(bytes + 1023) >> 10} KiB";

    private DeviceBuffer Live(DeviceBuffer block, string owner)
    {
        block.Owner = owner;
        live.Add(block);
        LiveBytes += block.Bytes;
        PeakBytes = Math.Max(PeakBytes, LiveBytes);
        return block;
    }

    private void DropWorkers()
    {
        if (workers is null)
            return;
        Free(workers);
        CachedBytes -= workers.Bytes;
        workers = null;
    }

    private DeviceBuffer Create(long size, string owner)
    {
        if (Allocate(size) is { } block)
            return block;
        Trim();
        return Allocate(size) ?? throw new KernelException(
            $"{owner}: {Device.Name} has no {Size(size)} left{Room}. Largest owners: {Owners()}. Use a smaller batch or image size");
    }

    private string Owners() => live.Count == 0 ? "none" : string.Join(", ", live.GroupBy(b => b.Owner ?? "?")
        .Select(g => (Name: g.Key, Bytes: g.Sum(b => b.Bytes))).OrderByDescending(g => g.Bytes).Take(5)
        .Select(g => $"{g.Name} {Size(g.Bytes)}"));
}
