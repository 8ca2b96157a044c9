using System.Diagnostics;
using System.Text.RegularExpressions;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU;
using ILGPU.Backends;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Whether the device can be reached and does as it is told: driver, compiler, memory.</summary>
internal static partial class DeviceRungs
{
    private const int Elements = 1 << 20;

    /// <summary>Compiling comes before the op cases, which leave every kernel in the driver's cache.</summary>
    public static IReadOnlyList<Rung> All { get; } =
    [
        new("a", "driver, device, context", Describe),
        new("b", "vector add", device => OnDevice(device, gpu => CheckAdd(gpu, arguments => gpu.LaunchFor(VerifyKernels.Add, Elements, arguments)))),
        new("c", "texts patched to sm_90, sm_90a", device => OnDevice(device, LoadPatched)),
        new("d", "allocate, launch, close, open again", OpenTwice),
        new("i", "every kernel compiled, twice", CompileAll),
    ];

    private static string OnDevice(string device, Func<GpuDevice, string> work)
    {
        using var gpu = GpuDevice.Open(device);
        return work(gpu);
    }

    private static string Describe(string device) => OnDevice(device, gpu => gpu.Accelerator is CudaAccelerator cuda
        ? $"{cuda.Name}, {PtxPatch.NameOf(cuda.Architecture)}, PTX {PtxPatch.InstructionSet}, driver {cuda.DriverVersion}, {cuda.MemorySize >> 20} MiB, {cuda.NumMultiprocessors} multiprocessors, L2 {cuda.L2CacheSize >> 20} MiB"
        : $"{gpu.Accelerator.Name}, {gpu.Accelerator.AcceleratorType}, {gpu.Accelerator.MemorySize >> 20} MiB");

    private static string LoadPatched(GpuDevice gpu)
    {
        if (gpu.Accelerator is not CudaAccelerator cuda)
            throw new RungSkipped("PTX is for CUDA alone");
        string[] targets = cuda.Architecture.Major == 9 ? ["sm_90", "sm_90a"]
            : cuda.Architecture.Major > 9 ? ["sm_90"] : throw new RungSkipped($"{cuda.Name} is {PtxPatch.NameOf(cuda.Architecture)}");
        foreach (string target in targets)
        {
            var launch = KernelLoader.Load<Action<AcceleratorStream, KernelConfig, VerifyKernels.AddArguments>>(
                cuda, ((Action<VerifyKernels.AddArguments>)VerifyKernels.Add).Method, text => Target().Replace(text, $".target {target}"));
            CheckAdd(gpu, arguments => launch(gpu.Stream, (Elements / GpuDevice.GroupSize, GpuDevice.GroupSize), arguments));
        }
        return string.Join(" and ", targets);
    }

    private static string OpenTwice(string device)
    {
        bool primary = false;
        for (int i = 0; i < 2; i++)
            OnDevice(device, gpu =>
            {
                if (gpu.Accelerator is CudaAccelerator cuda)
                {
                    Assert.Equal(CudaDriver.RetainPrimaryContext(cuda.DeviceId), cuda.NativePtr);
                    CudaDriver.ReleasePrimaryContext(cuda.DeviceId);
                    primary = true;
                }
                string sums = CheckAdd(gpu, arguments => gpu.LaunchFor(VerifyKernels.Add, Elements, arguments));
                Assert.Equal(0, gpu.Pool.LiveBytes);
                return sums;
            });
        return primary ? "twice, in the primary context" : "twice";
    }

    private static string CompileAll(string device)
    {
        var kernels = GpuKernels.Find().Where(kernel => device.StartsWith("cuda", StringComparison.Ordinal) || !GpuKernels.NeedsPtx(kernel)).ToList();
        return $"{kernels.Count} kernels: {Once()}; again {Once()}";

        string Once() => OnDevice(device, gpu =>
        {
            double compiler = 0, driver = 0;
            foreach (var kernel in kernels)
            {
                long start = Stopwatch.GetTimestamp();
                var compiled = KernelLoader.Compile(gpu.Accelerator.GetBackend(), kernel, (gpu.Accelerator as CudaAccelerator)?.Architecture ?? default);
                compiler += Stopwatch.GetElapsedTime(start).TotalSeconds;
                start = Stopwatch.GetTimestamp();
                gpu.Accelerator.LoadKernel(compiled).Dispose();
                driver += Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
            return FormattableString.Invariant($"compiler {compiler:F1} s, driver {driver:F1} s");
        });
    }

    private static string CheckAdd(GpuDevice gpu, Action<VerifyKernels.AddArguments> launch)
    {
        var shape = new Shape(Elements);
        float[] a = KernelTest.Random(1, Elements), b = KernelTest.Random(2, Elements), got = new float[Elements];
        TensorView x = gpu.Rent(shape, DType.F32, "verify"), z = gpu.Rent(shape, DType.F32, "verify"), y = gpu.Rent(shape, DType.F32, "verify");
        gpu.Upload<float>(a, x);
        gpu.Upload<float>(b, z);
        gpu.Fill(y, float.NaN);
        launch(new(gpu.F32(x), gpu.F32(z), gpu.F32(y)));
        gpu.Download<float>(y, got);
        for (int i = 0; i < Elements; i++)
            Assert.True(got[i] == a[i] + b[i], $"element {i} is {got[i]:R}, expected {a[i] + b[i]:R}");
        foreach (var view in (TensorView[])[x, z, y])
            gpu.Return(view);
        return $"{Elements} sums, exact";
    }

    [GeneratedRegex(@"\.target sm_\d+")]
    private static partial Regex Target();
}
