using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Memory that each worker of a kernel has to itself.</summary>
public sealed unsafe class WorkerScratchTests
{
    [Fact]
    public void AWorkerGetsTheSameLinesWhateverElseIsRented()
    {
        using var device = new CpuDevice(3);
        nint[] first = Places(device, 100_000);
        TensorView other = device.Rent(new Shape(75_000), DType.F32, nameof(WorkerScratchTests)); // what the block would serve if it were like any other
        Assert.Equal(first, Places(device, 100_000));
        Assert.Equal(first, Places(device, 10));
        device.Return(other);
        Assert.All(first, place => Assert.Equal(0, place % (CacheLine.Floats * sizeof(float))));
        for (int worker = 1; worker < first.Length; worker++)
            Assert.True(first[worker] - first[worker - 1] >= 100_000);
    }

    [Fact]
    public void MoreThanThereIsTakesThePlaceOfWhatWasThere()
    {
        using var device = new CpuDevice(2);
        Places(device, 1000);
        Places(device, 1_000_000);
        Assert.Equal(0, device.Pool.LiveBytes);
        Assert.Equal(MemoryPool.SizeClass(2 * 1_000_000), device.Pool.CachedBytes);
        device.Pool.Trim();
        Assert.Equal(0, device.Pool.CachedBytes);
        Places(device, 1000);
    }

    [Fact]
    public void TwoAtATimeAreRefused()
    {
        using var device = new CpuDevice(2);
        using var one = new WorkerScratch(device, 64, "one");
        KernelException? refusal = null;
        try
        {
            using var two = new WorkerScratch(device, 64, "two");
        }
        catch (KernelException e)
        {
            refusal = e;
        }
        Assert.Equal("two: the memory of the workers is in use by one; rent it once a kernel", refusal?.Message);
    }

    private static nint[] Places(CpuDevice device, long bytes)
    {
        using var scratch = new WorkerScratch(device, bytes, nameof(WorkerScratchTests));
        WorkerMemory memory = scratch.Memory;
        for (int worker = 0; worker < device.Team.Threads; worker++)
            new Span<byte>(memory.Bytes(worker), checked((int)bytes)).Fill(1);
        return [.. Enumerable.Range(0, device.Team.Threads).Select(worker => (nint)memory.Bytes(worker))];
    }
}
