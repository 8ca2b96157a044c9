using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// A <see cref="KernelTest"/> on a device whose products may use tensor cores, with views that lie so that they can: a device without them skips the test. It checks which
/// algorithm ran and puts the device back as it was.
/// </summary>
internal sealed class TensorTest : IDisposable
{
    private readonly KernelTest test;
    private readonly GpuDevice device;
    private readonly Precision precision;
    private readonly List<TensorView> rented = [];
    private Precision ran;

    public TensorTest(int lanes, Precision precision, int threads = 1)
    {
        test = new KernelTest(lanes, threads);
        device = (GpuDevice)test.Device;
        this.precision = precision;
        try
        {
            device.Use(precision);
        }
        catch (KernelException e)
        {
            test.Dispose();
            Assert.Skip(e.Message);
        }
        device.Profiler = new Profiler();
    }

    /// <summary>Tables after which every product is cut into tiles of 64, and of 128.</summary>
    public static TileTable[] BothTiles => [new(int.MaxValue, 0), new(0, 0)];

    public TileTable Tiles { set => device.Tiles = value; }

    /// <summary>At offset zero.</summary>
    public TensorView Upload(float[] values, Shape shape)
    {
        var view = device.Rent(shape, DType.F32, nameof(TensorTest));
        device.Upload<float>(values, view);
        rented.Add(view);
        return view;
    }

    /// <summary>A tensor of a golden file, channels last.</summary>
    public TensorView Upload(GoldenFile file, string name)
    {
        int[] shape = file.Shape(name);
        return Upload(KernelTest.ToChannelsLast(file.F32(name), shape), new(shape[0], shape[2], shape[3], shape[1]));
    }

    /// <summary>Compares what ran last with a tensor of a golden file.</summary>
    public void Compare(GoldenFile file, string name, TensorView got, bool gradient) => test.Compare(file, name, got, For(gradient));

    public TensorView Zeros(Shape shape) => Upload(new float[shape.Length], shape);

    public float[] Read(TensorView view) => test.Read(view);

    /// <summary>Runs it and checks that it ran on what adjacent lengths of the two sides allow.</summary>
    public void Run<TKernel>(in TKernel kernel, int lengthA, int lengthB) where TKernel : struct, IKernel
    {
        device.Profiler = new Profiler();
        test.Run(kernel);
        ran = lengthA % 4 != 0 || lengthB % 4 != 0 ? Precision.Fp32
            : precision == Precision.Bf16 && (lengthA % 8 != 0 || lengthB % 8 != 0) ? Precision.Tf32 : precision;
        string algorithm = Assert.Single(device.Profiler.Rows).Algorithm!;
        Assert.StartsWith(ran == Precision.Fp32 ? "tiles" : $"{ran.ToString().ToLowerInvariant()} tensor cores, tiles of {(device.Tiles.LeastSide == 0 ? 128 : 64)}", algorithm);
    }

    /// <summary>Compares what ran last with the reference, on its operands and on those operands rounded.</summary>
    public void Close(Func<float[], float[], double[]> reference, float[] a, float[] b, TensorView got, bool gradient, string what)
    {
        float[] values = Read(got);
        KernelTest.Close(reference(a, b), values, For(gradient), $"{what}, {ran}");
        KernelTest.Close(reference(Rounded(a), Rounded(b)), values, Tolerance.SumGradient, $"{what}, {ran}, operands rounded");
    }

    public void Dispose()
    {
        device.Use(Precision.Fp32);
        device.Tiles = TileTable.Default;
        device.Profiler = null;
        foreach (var view in rented)
            device.Return(view);
        test.Dispose();
    }

    /// <summary>What the golden files ask of what ran last.</summary>
    private Tolerance For(bool gradient) => ran switch
    {
        Precision.Bf16 => gradient ? Tolerance.Bf16Gradient : Tolerance.Bf16,
        Precision.Tf32 => gradient ? Tolerance.Tf32Gradient : Tolerance.Tf32,
        _ => gradient ? Tolerance.SumGradient : Tolerance.Sum,
    };

    private float[] Rounded(float[] values) => ran switch
    {
        Precision.Bf16 => Array.ConvertAll(values, value => (float)Round(value, 1 << 16, 0x7fff, even: true)),
        Precision.Tf32 => Array.ConvertAll(values, value => (float)Round(value, 1 << 13, 0x1000, even: false)),
        _ => values,
    };

    /// <summary>The nearest number without the bits below <paramref name="unit"/>.</summary>
    private static float Round(float value, uint unit, uint half, bool even)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return BitConverter.UInt32BitsToSingle(bits + half + (even && (bits & unit) != 0 ? 1u : 0) & ~(unit - 1));
    }
}
