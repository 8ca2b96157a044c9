using System.Reflection;
using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What a <see cref="GpuDevice"/> does besides computing: copies, order, threads, time, and one line for what goes wrong.</summary>
public sealed class GpuDeviceTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Fact]
    public void TimesEachRepetition()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        var device = (GpuDevice)test.Device;
        var large = test.Output(1 << 20);
        int runs = 0;
        Fill();
        var times = device.Time(Fill, 5);
        Assert.Equal(5, times.Length);
        Assert.Equal(6, runs);
        Assert.All(times, t => Assert.InRange(t, 1e-6, 10_000));
        Assert.Empty(device.Time(Fill, 0));

        void Fill()
        {
            runs++;
            device.Fill(large, 1);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData((8 << 20) / 4 + 1)]
    [InlineData(5_000_003)]
    public void CopiesOfEverySizeArriveWhole(int count)
    {
        using var test = new KernelTest(KernelTest.Gpu);
        float[] values = KernelTest.Random(count, count);
        var view = test.Upload(values, count);
        Assert.True(values.AsSpan().SequenceEqual(test.Read(view)));
    }

    [Fact]
    public void AnUploadWaitsForWhatStillUsesItsBlockAndIsSeenByWhatFollows()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        const int count = 300_000;
        TensorView block = test.Output(count), sum = test.Zeros(count);
        for (int i = 1; i <= 20; i++)
        {
            test.Device.Upload<float>(Enumerable.Repeat((float)i, count).ToArray(), block);
            test.Device.Run(new AddForward(sum, block, sum));
        }
        Assert.All(test.Read(sum), value => Assert.Equal(210, value));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void CommunicationStartsAfterTheComputedAndEndsBeforeTheAwaiting(bool hostWaits)
    {
        using var test = new KernelTest(KernelTest.Gpu);
        var device = (GpuDevice)test.Device;
        TensorView from = test.Zeros(100_000), to = test.Zeros(100_000), after = test.Zeros(100_000);
        var side = device.OpenSide();
        for (int i = 1; i <= 5; i++)
        {
            device.Fill(from, i);
            device.Communicate(side, stream => device.U8(Bytes(from)).CopyTo(stream, device.U8(Bytes(to))));
            if (hostWaits)
                device.Finish(side);
            else
                device.Await(side);
            device.Run(new AddForward(after, to, after));
        }
        device.Close(side);
        Assert.All(test.Read(after), value => Assert.Equal(15, value));

        static TensorView Bytes(TensorView view) => new(view.Buffer, view.Offset * 4, new Shape(checked((int)view.Bytes)), DType.U8);
    }

    [Fact]
    public void AnyThreadMayUseIt()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        var results = new float[4][];
        var threads = Enumerable.Range(0, results.Length).Select(n => new Thread(() =>
        {
            var view = test.Device.Rent(new Shape(5000), DType.F32, "thread");
            for (int i = 0; i < 20; i++)
            {
                test.Device.Upload<float>(Enumerable.Repeat((float)n, 5000).ToArray(), view);
                test.Device.Run(new AddForward(view, view, view));
                test.Device.Download<float>(view, results[n] = new float[5000]);
            }
            test.Device.Return(view);
        })).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        for (int n = 0; n < results.Length; n++)
            Assert.All(results[n], value => Assert.Equal(2 * n, value));
    }

    [Fact]
    public void ALaunchThatNoIndexCouldCountIsRefused()
    {
        using var test = new KernelTest(KernelTest.Gpu);
        var device = (GpuDevice)test.Device;
        Assert.Matches("^GpuDeviceTests.Nothing: a launch has at most 2147483647 threads but 8388608 groups of 256 are asked for",
            Assert.Throws<KernelException>(() => device.LaunchFor(Nothing, 1L << 31, new Arguments(1))).Message);
        Assert.Matches("^GpuDeviceTests.Nothing: opencl:0 starts at most .* but 1 of 1000000 are asked for",
            Assert.Throws<KernelException>(() => device.Launch(Nothing, 1, 1_000_000, new Arguments(1))).Message);
    }

    [Fact]
    public void AKernelThatDoesNotCompileIsNamedAndEndsTheDevice()
    {
        GpuUnderTest.Enter();
        try
        {
            using var device = GpuDevice.Open("opencl:0");
            Assert.Matches("^GpuDeviceTests.Throwing: does not compile for .+: .*'Throw'$",
                Assert.Throws<KernelException>(() => device.LaunchFor(Throwing, 1, new Arguments(1))).Message);
            Assert.Matches("^GpuDeviceTests.Nothing: opencl:0 compiles nothing more since this failed: GpuDeviceTests.Throwing",
                Assert.Throws<KernelException>(() => device.LaunchFor(Nothing, 1, new Arguments(1))).Message);
        }
        finally
        {
            GpuUnderTest.Leave();
        }
    }

    /// <summary>The run stops with the kernel and the device in one line; what was saved before stays as it was.</summary>
    [Fact]
    public void ADeviceLostInAStepEndsTheRunAndSavesNothing()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["run"]);
        foreach (string file in Directory.GetFiles(run.Run))
            File.Copy(file, folder[$"run/{Path.GetFileName(file)}"]);
        byte[] saved = File.ReadAllBytes(folder["run/last.safetensors"]);
        using (var device = new LosingDevice())
        using (var trainer = Trainer.Resume(folder["run"], [ConfigKeys.Parse("epochs=3")], device, new Silent()))
        {
            device.Lost = true;
            Assert.Matches(@"^\S+: lost:0 failed: the device went away$", Assert.Throws<KernelException>(() => trainer.Run(default)).Message);
        }
        Assert.Equal(saved, File.ReadAllBytes(folder["run/last.safetensors"]));
    }

    public readonly record struct Arguments(int Value);

    private static void Nothing(Arguments a)
    {
    }

    private static void Throwing(Arguments a)
    {
        if (a.Value > Grid.IdxX)
            throw new InvalidOperationException();
    }

    /// <summary>Has memory and runs nothing, until even that fails.</summary>
    private sealed class LosingDevice() : GpuDevice("lost:0")
    {
        public bool Lost { get; set; }

        protected override void Start<TArguments>(MethodInfo kernel, int groups, int groupSize, TArguments arguments)
        {
            if (Lost)
                throw new CudaException("the device went away");
        }
    }

    private sealed class Silent : ITrainObserver
    {
        public void Note(string sentence)
        {
        }

        public void Stepped(StepReport report)
        {
        }

        public void Evaluating(int done, int total)
        {
        }

        public void Evaluated(EvaluationReport report)
        {
        }
    }
}
