using System.Runtime.InteropServices;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using ILGPU.Runtime;
using Xunit;
using Device = CudaKernels.Kernels.Devices.Device;

namespace CudaKernels.Tests;

/// <summary>The arena of a device: where blocks lie, when the driver is asked, and what is said when there is no room.</summary>
public sealed class GpuMemoryTests
{
    [Fact]
    public void SmallBlocksNeverOverlapAndAreAligned()
    {
        WithPool((_, pool) =>
        {
            var random = new Random(1);
            var live = new List<DeviceBuffer>();
            for (int i = 0; i < 2000; i++)
            {
                if (live.Count > 60 || live.Count > 0 && random.Next(3) == 0)
                {
                    int at = random.Next(live.Count);
                    pool.Return(live[at]);
                    live.RemoveAt(at);
                    if (i % 97 == 0)
                        pool.Trim(); // the next blocks are cut from holes between live ones
                }
                else
                    live.Add(pool.Rent(random.Next(1, 400_000), "a block"));
            }
            Assert.Contains(live, b => ((GpuBuffer)b).Slab is not null);
            foreach (var slab in live.Cast<GpuBuffer>().GroupBy(b => b.Slab))
            {
                long end = 0;
                foreach (var block in slab.OrderBy(b => b.Start))
                {
                    Assert.Equal(0, block.Start % Slab.Alignment);
                    Assert.True(block.Start >= end, "two blocks overlap");
                    end = block.Start + block.Bytes;
                }
                Assert.True(end <= slab.Key!.Buffer.Length);
            }
            foreach (var block in live)
                pool.Return(block);
        });
    }

    [Fact]
    public void TrimGivesFreeSlabsAndBuffersBack()
    {
        WithPool((device, _) =>
        {
            using var pool = new GpuMemoryPool(device, device.Accelerator);
            var kept = pool.Rent(1000, "kept");
            DeviceBuffer[] passing = [.. Enumerable.Range(0, 40).Select(_ => pool.Rent(1 << 20, "passing")), pool.Rent(5 << 20, "passing")];
            long most = pool.DriverBytes;
            foreach (var block in passing)
                pool.Return(block);
            Assert.Equal(most, pool.DriverBytes);
            pool.Trim();
            Assert.Equal(0, pool.CachedBytes);
            Assert.InRange(pool.DriverBytes, 1, 16 << 20);
            pool.Return(kept);
            pool.Trim();
            Assert.Equal(0, pool.DriverBytes);
        });
    }

    /// <summary>Boxes come in another number with every batch; still nothing is asked of the driver once a step has run.</summary>
    [Fact]
    public void TrainingStepsAfterTheSecondAskTheDriverForNothing()
    {
        WithPool((device, pool) =>
        {
            var model = ModelCatalog.Create("ttfnet-nano", ["a", "b"]);
            using var set = new ParameterSet(model, device, seed: 1);
            using var optimizer = new Sgd(set, 0.9f, 1e-4f);
            var pictures = new[] { new ImageBuffer(32, 32), new ImageBuffer(32, 32) };
            Step(1);
            Step(7);
            var (allocations, bytes) = (pool.DriverAllocations, pool.DriverBytes);
            long live = pool.LiveBytes;
            Assert.True(allocations > 0);
            foreach (int boxes in new[] { 2, 40, 300, 3 })
            {
                Step(boxes);
                Assert.Equal((allocations, bytes, live), (pool.DriverAllocations, pool.DriverBytes, pool.LiveBytes));
            }

            void Step(int boxes)
            {
                var targets = new Targets([[.. Enumerable.Range(0, boxes).SelectMany(i => (float[])[2, 3, 12 + i % 16, 25])], []], [new int[boxes], []]);
                set.BeginGradients();
                using (var scope = new StepScope(device, record: true))
                    scope.Backward(model.Loss(ModelInput.Prepare(scope, pictures, 32), targets).Values);
                set.CompleteGradients();
                optimizer.Step(0.01f);
                Assert.True(optimizer.LastFinite);
            }
        });
    }

    /// <summary>A view counts whole records from the start of the driver's buffer; blocks begin anywhere in it.</summary>
    [Fact]
    public void RecordsOfAnySizeLieInTheirBlock()
    {
        WithPool((device, _) =>
        {
            var held = new List<TensorView>();
            for (int i = 0; i < 20; i++)
            {
                held.Add(Marks());
                using var records = new GpuRecords<(int, int, int, int, int, int, int)>(device, 3, "records");
                held.Add(Marks());
                records.View.CopyFromCPU(device.Stream, new (int, int, int, int, int, int, int)[3]);
                var marks = new byte[256];
                foreach (var view in held)
                {
                    device.Download<byte>(view, marks);
                    Assert.Equal(-1, marks.AsSpan().IndexOfAnyExcept((byte)0xA5));
                }
            }
            foreach (var view in held)
                device.Return(view);

            TensorView Marks()
            {
                var view = device.Rent(new Shape(256), DType.U8, "marks");
                device.Upload<byte>([.. Enumerable.Repeat((byte)0xA5, 256)], view);
                return view;
            }
        });
    }

    [Fact]
    public void ADriverWithoutRoomIsOneLineThatNamesTheOwners()
    {
        WithPool((device, pool) =>
        {
            var held = pool.Rent(3 << 20, "Weights");
            string message = Assert.Throws<KernelException>(() => pool.Rent(1L << 46, "Conv2dForward")).Message;
            Assert.Matches("^Conv2dForward: opencl:0 has no 67108864 MiB left of [0-9]+ MiB. Largest owners: .*Weights 3 MiB.*batch", message);
            pool.Return(held);
        });
    }

    [Fact]
    public void APoolGivesCachedBlocksBackBeforeItFails()
    {
        using var device = new CpuDevice(1);
        using var pool = new LimitedPool(device, 10 << 20);
        pool.Return(pool.Rent(6 << 20, "passing"));
        Assert.Equal(6 << 20, pool.CachedBytes);
        Assert.Equal(10 << 20, pool.AvailableBytes);
        DeviceBuffer[] held = [pool.Rent(7 << 20, "images")]; // fits only without the cached block
        Assert.Equal(0, pool.CachedBytes);
        Assert.Equal(3 << 20, pool.AvailableBytes);
        Assert.InRange(device.Pool.AvailableBytes, 1 << 20, 1L << 50);
        held = [.. held, .. Enumerable.Range(1, 6).Select(i => pool.Rent(i * 100 << 10, $"owner {i}"))];
        string message = Assert.Throws<KernelException>(() => pool.Rent(4 << 20, "MaxPoolForward")).Message;
        Assert.Equal("MaxPoolForward: cpu has no 4 MiB left. Largest owners: images 7 MiB, owner 6 640 KiB, owner 5 512 KiB, owner 4 448 KiB, owner 3 320 KiB. "
            + "Use a smaller batch or image size", message);
        foreach (var block in held)
            pool.Return(block);
        pool.Return(pool.Rent(4 << 20, "MaxPoolForward"));
    }

    [Fact]
    public void AViewOfAnotherDeviceIsRefused()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        using var other = new CpuDevice(1);
        var view = other.Rent(new Shape(3), DType.F32, "elsewhere");
        Assert.Equal("TensorView: f32[3] is used on opencl:0 but lives on cpu", Assert.Throws<KernelException>(() => test.Device.Fill(view, 1)).Message);
    }

    private static void WithPool(Action<GpuDevice, GpuMemoryPool> use)
    {
        var device = GpuUnderTest.Enter();
        try
        {
            use(device, (GpuMemoryPool)device.Pool);
        }
        finally
        {
            GpuUnderTest.Leave();
        }
    }

    /// <summary>Host memory, but only so much of it.</summary>
    private sealed unsafe class LimitedPool(Device device, long limit) : MemoryPool(device)
    {
        private long taken;

        protected override long SystemBytes => limit - taken;

        protected override DeviceBuffer? Allocate(long bytes)
        {
            if (taken + bytes > limit)
                return null;
            taken += bytes;
            return new DeviceBuffer(Device, (nint)NativeMemory.Alloc((nuint)bytes), bytes);
        }

        protected override void Free(DeviceBuffer block)
        {
            taken -= block.Bytes;
            NativeMemory.Free((void*)block.Address);
        }
    }
}
