using System.Diagnostics;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using ILGPU;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// A few kernels on ILGPU's own processor device, which runs their C# as it stands and checks every index: slow, so on tiny shapes. A
/// failed check would end the process; here it fails the test.
/// </summary>
public sealed class IlgpuCpuTests
{
    [Fact]
    public void ElementwiseAgreesWithTheProcessor() => Agrees(device =>
    {
        TensorView a = Upload(device, 1, 300), b = Upload(device, 2, 300), y = device.Rent(new Shape(300), DType.F32, "y");
        device.Run(new AddForward(a, b, y));
        return y;
    }, 0);

    [Fact]
    public void AReductionInSharedMemoryAgrees() => Agrees(device =>
    {
        TensorView gradient = Upload(device, 3, 5000), norm = device.Rent(new Shape(2), DType.F32, "norm");
        device.Run(new GradientNorm(gradient, norm));
        return norm;
    }, 1e-5f);

    [Fact]
    public void ATileOfAProductAgrees() => Agrees(device =>
    {
        TensorView x = Upload(device, 4, 9, 20), weight = Upload(device, 5, 12, 20), bias = Upload(device, 6, 12), y = device.Rent(new Shape(9, 12), DType.F32, "y");
        device.Run(new LinearForward(x, weight, bias, y));
        return y;
    }, 1e-5f);

    /// <summary>
    /// What the instructions of tensor cores mean in C#, warps of 32 threads together: a tile of a product and of its two gradients, all ways to lay fragments, in both
    /// types. Against a product of operands rounded alike, so that a wrong element would show.
    /// </summary>
    [Theory]
    [InlineData("Tf32")]
    [InlineData("Bf16")]
    public void TilesOnTensorCoresAgree(string type)
    {
        var precision = Enum.Parse<Precision>(type);
        const int Rows = 24, Columns = 16, Depth = 40;
        foreach (int transposed in (int[])[0, 3])
            Agrees(device =>
            {
                TensorView a = Rounded(device, 8, Rows * Depth, precision), b = Rounded(device, 9, Depth * Columns, precision), c = device.Rent(new Shape(Rows, Columns), DType.F32, "c");
                if (device is GpuDevice)
                    device.Use(precision);
                device.Run(new Gemm(a, b, c, Rows, Columns, Depth, TransposeA: (transposed & 1) != 0, TransposeB: (transposed & 2) != 0));
                return c;
            }, 1e-5f);
    }

    [Fact]
    public void AnIndexOutsideAViewIsCaught()
    {
        using var device = GpuDevice.Open("ilgpu-cpu");
        using var bounds = new Bounds();
        var view = Upload(device, 7, 8);
        try
        {
            device.Launch(Outside, 1, 2, new Arguments(device.F32(view).SubView(0, 4)));
            device.Synchronize();
        }
        catch (Exception e) when (e is not KernelException)
        {
            // The check may also stop the kernel.
        }
        Assert.NotEmpty(bounds.Failures);
    }

    private static void Agrees(Func<Device, TensorView> compute, float tolerance)
    {
        using var cpu = new CpuDevice(1);
        using var device = GpuDevice.Open("ilgpu-cpu");
        using var bounds = new Bounds();
        float[] expected = Read(cpu, compute(cpu)), got = Read(device, compute(device));
        Assert.Empty(bounds.Failures);
        Assert.Equal(expected.Length, got.Length);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], got[i], tolerance * (1 + Math.Abs(expected[i])));
    }

    private static TensorView Upload(Device device, int seed, params int[] shape)
    {
        var view = device.Rent(new Shape(shape), DType.F32, "input");
        device.Upload<float>(KernelTest.Random(seed, view.Length), view);
        return view;
    }

    /// <summary>Numbers of seven bits of fraction, which both types hold, and in TF32 a few bits more.</summary>
    private static TensorView Rounded(Device device, int seed, int length, Precision precision)
    {
        var view = device.Rent(new Shape(length), DType.F32, "input");
        float unit = precision == Precision.Tf32 ? 1024 : 128;
        device.Upload<float>(Array.ConvertAll(KernelTest.Random(seed, length), value => MathF.Round(value * unit) / unit), view);
        return view;
    }

    private static float[] Read(Device device, TensorView view)
    {
        var values = new float[view.Length];
        device.Download<float>(view, values);
        return values;
    }

    public readonly record struct Arguments(ArrayView<float> Values);

    private static void Outside(Arguments a) => a.Values[Group.IdxX + 3] = 1;

    /// <summary>Collects failed assertions of all threads while it lives.</summary>
    private sealed class Bounds : TraceListener
    {
        private readonly TraceListener[] others = [.. Trace.Listeners.Cast<TraceListener>()];
        private readonly List<string> failures = [];

        public Bounds()
        {
            Trace.Listeners.Clear();
            Trace.Listeners.Add(this);
        }

        public IReadOnlyList<string> Failures
        {
            get
            {
                lock (failures)
                    return [.. failures];
            }
        }

        public override void Fail(string? message, string? detailMessage)
        {
            lock (failures)
                failures.Add($"{message} {detailMessage}");
        }

        public override void Write(string? message)
        {
        }

        public override void WriteLine(string? message)
        {
        }

        protected override void Dispose(bool disposing)
        {
            Trace.Listeners.Clear();
            Trace.Listeners.AddRange(others);
            base.Dispose(disposing);
        }
    }
}
