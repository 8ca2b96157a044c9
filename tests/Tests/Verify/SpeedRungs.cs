using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using CudaKernels.Cli;
using CudaKernels.Comm;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Ranks;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Open questions about launches, memory and libraries that only a GPU answers.</summary>
internal static partial class SpeedRungs
{
    private const int StaticSharedLimit = 48 << 10;

    public static IReadOnlyList<Rung> All { get; } =
    [
        new("f", "shared memory above 48 KB", SharedMemory),
        new("g", "launch overhead", LaunchOverhead),
        new("h", "copy bandwidth, LD.E or ld.global", CopyBandwidth),
        new("j", "GEMM on tensor cores", TensorCores),
        new("k", "NCCL with one rank", Nccl),
    ];

    private static string SharedMemory(string device)
    {
        using var compiler = new OfflineCompiler(OfflineCompiler.Architectures[^1]);
        var (bytes, name) = GpuKernels.Find().Select(kernel => (SharedBytes(compiler.Compile(kernel)), KernelLoader.NameOf(kernel))).Max();
        return bytes <= StaticSharedLimit
            ? throw new RungSkipped($"no kernel takes more than {StaticSharedLimit} bytes; the most is {bytes}, by {name}")
            : $"{name} takes {bytes} bytes; the op cases have launched it";
    }

    private static int SharedBytes(string text) =>
        SharedArray().Matches(text).Sum(m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture) / 8 * int.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture));

    private static string LaunchOverhead(string device)
    {
        const int Launches = 2000;
        using var gpu = GpuDevice.Open(device);
        Run();
        gpu.Synchronize();
        long start = Stopwatch.GetTimestamp();
        Run();
        double host = Stopwatch.GetElapsedTime(start).TotalMicroseconds / Launches;
        double both = DeviceTimer.Measure(gpu, Run, 0)[0] * 1000 / Launches;
        return FormattableString.Invariant($"an empty kernel: {host:F2} us of the host, {both:F2} us until done, of {Launches} in a row");

        void Run()
        {
            for (int i = 0; i < Launches; i++)
                gpu.Launch(VerifyKernels.Empty, 1, 32, default(VerifyKernels.CopyArguments));
        }
    }

    /// <summary>
    /// The compiler reads memory through generic addresses; in a kernel without shared memory all of them are global, so the same text
    /// with .global written in is the same kernel.
    /// </summary>
    private static string CopyBandwidth(string device)
    {
        using var gpu = GpuDevice.Open(device);
        var cuda = gpu.Accelerator as CudaAccelerator;
        var bench = new CopyBench(gpu);
        string figures = FormattableString.Invariant($"{bench.Bytes >> 20} MiB: driver's copy {bench.DriverCopy():F0} GB/s, our kernel {Kernel(null):F0} GB/s");
        return cuda is null ? $"{figures}; ld.global is for CUDA alone"
            : FormattableString.Invariant($"{figures}, with ld.global {Kernel(text => Generic().Replace(text, "$1.global.")):F0} GB/s");

        double Kernel(Func<string, string>? rewrite)
        {
            var launch = KernelLoader.Load<Action<AcceleratorStream, KernelConfig, VerifyKernels.CopyArguments>>(
                gpu.Accelerator, ((Action<VerifyKernels.CopyArguments>)VerifyKernels.Copy).Method, rewrite);
            gpu.Fill(bench.To, 0);
            var arguments = new VerifyKernels.CopyArguments(gpu.F32(bench.From).Cast<F4>(), gpu.F32(bench.To).Cast<F4>());
            double rate = bench.Rate(() => launch(gpu.Stream, ((int)(arguments.Y.Length / GpuDevice.GroupSize), GpuDevice.GroupSize), arguments));
            float[] last = new float[1];
            gpu.Download<float>(bench.To.Slice(bench.To.Length - 1, new Shape(1)), last);
            Assert.Equal(1, last[0]);
            return rate;
        }
    }

    /// <summary>One large product in each precision: how fast, and whether some of its elements are right.</summary>
    private static string TensorCores(string device)
    {
        const int Side = 8192, Samples = 64, Repetitions = 5;
        using var gpu = GpuDevice.Open(device);
        var views = new TensorView[3];
        float[][] inputs = [KernelTest.Random(1, (long)Side * Side), KernelTest.Random(2, (long)Side * Side)];
        for (int i = 0; i < views.Length; i++)
            views[i] = gpu.Rent(new Shape(Side, Side), DType.F32, "verify");
        for (int i = 0; i < inputs.Length; i++)
            gpu.Upload<float>(inputs[i], views[i]);
        var figures = new List<string>();
        foreach (var (precision, tolerance) in new[] { (Precision.Tf32, Tolerance.Tf32), (Precision.Bf16, Tolerance.Bf16) })
        {
            try
            {
                gpu.Use(precision);
            }
            catch (KernelException e)
            {
                throw new RungSkipped(e.Message);
            }
            var product = new Gemm(views[0], views[1], views[2], Side, Side, Side, TransposeB: true);
            gpu.Run(product);
            double milliseconds = gpu.Time(() => gpu.Run(product), Repetitions).Min();
            var (expected, got) = (new double[Samples], new float[Samples]);
            for (int i = 0; i < Samples; i++)
            {
                int row = i * 131 % Side, column = i * 8111 % Side;
                gpu.Download<float>(views[2].Slice((long)row * Side + column, new Shape(1)), got.AsSpan(i, 1));
                for (int k = 0; k < Side; k++)
                    expected[i] += (double)inputs[0][(long)row * Side + k] * inputs[1][(long)column * Side + k];
            }
            KernelTest.Close(expected, got, tolerance, precision.ToString());
            figures.Add(FormattableString.Invariant($"{precision.ToString().ToLowerInvariant()} {milliseconds:F2} ms, {product.Cost.Flops / milliseconds * 1e-9:F0} TFLOP/s"));
        }
        return $"{Side} x {Side} x {Side}: {string.Join("; ", figures)}";
    }

    private static string Nccl(string device)
    {
        const int Count = 1 << 20;
        using var gpu = GpuDevice.Open(device);
        if (gpu.Accelerator is not CudaAccelerator)
            throw new RungSkipped("NCCL is for CUDA alone");
        NcclNative library;
        try
        {
            library = NcclNative.Load();
        }
        catch (KernelException e)
        {
            throw new RungSkipped(e.Message);
        }
        using (library)
        {
            var view = gpu.Rent(new Shape(Count), DType.F32, "verify");
            float[] values = KernelTest.Random(1, Count), got = new float[Count];
            using var group = NcclCollective.Join(library, gpu, library.NewId(), rank: 0, size: 1, control: null);
            using var beside = group.Split(0, beside: true);
            foreach (var one in (ICollective[])[group, beside])
            {
                foreach (var rank in RankCases.All)
                    rank.Run(one, gpu);
                gpu.Upload<float>(values, view);
                one.AllReduce(view, Reduction.Sum);
                gpu.Download<float>(view, got);
                Assert.Equal(values, got);
                gpu.Fill(view, 2); // the library has changed the thread's context before; ours must still be at work
                gpu.Download<float>(view, got);
                Assert.Equal(2, got[^1]);
            }
            return $"version {library.Version}: {RankCases.All.Count} cases of a group, all-reduce of {Count} floats, then a launch of ours";
        }
    }

    [GeneratedRegex(@"\b(ld|st)\.(?=(v[24]\.)?[bfsu]\d)")]
    private static partial Regex Generic();

    [GeneratedRegex(@"\.shared \.align \d+ \.[bfsu](\d+) \w+\[(\d+)\]")]
    private static partial Regex SharedArray();
}
