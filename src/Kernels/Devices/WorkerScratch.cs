using CudaKernels.Kernels.Simd;

namespace CudaKernels.Kernels.Devices;

/// <summary>
/// Memory that each worker of a kernel has to itself while the kernel runs, back with the pool when disposed. A worker gets the same lines in every kernel: where cores share no cache,
/// a store to a line that another core wrote last takes eight times as long. One at a time on a device.
/// </summary>
internal readonly unsafe ref struct WorkerScratch : IDisposable
{
    private readonly Device device;
    private readonly DeviceBuffer block;

    /// <param name="device">The device.</param>
    /// <param name="bytes">What a worker needs; it may have more.</param>
    /// <param name="owner">The kernel, for reports.</param>
    public WorkerScratch(CpuDevice device, long bytes, string owner)
    {
        const int line = CacheLine.Floats * sizeof(float);
        this.device = device;
        int workers = device.Team.Threads;
        block = device.Pool.RentForWorkers(workers * Math.Max(line, (bytes + line - 1) / line * line), owner);
        Memory = new((byte*)block.Address, (nint)(block.Bytes / workers / line * line));
    }

    public WorkerMemory Memory { get; }

    public void Dispose() => device.Pool.Return(block);
}

/// <summary>Where the memory of each worker begins: on a line of the caches.</summary>
internal readonly unsafe struct WorkerMemory(byte* first, nint stride)
{
    public byte* Bytes(int worker) => first + worker * stride;

    public float* Floats(int worker) => (float*)Bytes(worker);
}
