using System.Runtime.InteropServices;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>
/// One device and the views of one kernel test. Every view lies at an odd offset between sentinel blocks; <see cref="Run"/>
/// checks after each kernel that the sentinels stand and that scratch memory went back to the pool. Outputs start as NaN.
/// </summary>
internal sealed class KernelTest : IDisposable
{
    private const byte Sentinel = 0xA5;

    private readonly List<(TensorView Block, int Begin, int End)> blocks = [];
    private readonly int guard; // elements before and after a view

    /// <param name="lanes">Lanes of the vectors: an entry of <see cref="Lanes"/>.</param>
    /// <param name="threads">Size of the thread team; a GPU has its own, the PTX machine turns its order round for more than two.</param>
    public KernelTest(int lanes, int threads = 2)
    {
        Device = lanes switch
        {
            Gpu or GpuByFour => GpuUnderTest.Enter(),
            PtxMachine or PtxMachineByFour => new PtxMachineDevice(backwards: threads > 2),
            _ => new CpuDevice(threads, (VectorWidth)lanes),
        };
        guard = IsByFour(lanes) ? 32 : 33; // odd: no view is aligned to a vector
    }

    /// <summary>Stands among the lanes for the ILGPU path.</summary>
    public const int Gpu = 0;

    /// <summary>The ILGPU path with views at multiples of 128 bytes, which let kernels read four floats at once.</summary>
    public const int GpuByFour = -4;

    /// <summary>The ILGPU path as the PTX of its kernels, run on <see cref="Tests.PtxMachine"/>: slow, so tests may ask for <see cref="Smaller"/> problems.</summary>
    public const int PtxMachine = -1;

    /// <summary>The same with views at multiples of 128 bytes.</summary>
    public const int PtxMachineByFour = -5;

    /// <summary>The vector widths of the processor.</summary>
    public static TheoryData<int> Widths => [1, 4, 8, 16];

    /// <summary>For <c>[MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]</c>: every vector width, and both ways to run the ILGPU path.</summary>
    public static TheoryData<int> Lanes => [1, 4, 8, 16, Gpu, PtxMachine];

    /// <summary>The same for kernels that read four floats at once where they can.</summary>
    public static TheoryData<int> LanesAndByFour => [1, 4, 8, 16, Gpu, GpuByFour, PtxMachine, PtxMachineByFour];

    /// <summary>The ILGPU path alone.</summary>
    public static TheoryData<int> GpuLanes => [Gpu, PtxMachine];

    public static bool IsGpu(int lanes) => lanes <= 0;

    public static bool IsByFour(int lanes) => lanes is GpuByFour or PtxMachineByFour;

    /// <summary>A size of a problem, or the one that the PTX machine gets through in time.</summary>
    public static int Smaller(int lanes, int size, int onMachine) => lanes is PtxMachine or PtxMachineByFour ? onMachine : size;

    public Device Device { get; }

    public TensorView Upload(float[] values, params ReadOnlySpan<int> shape) => Upload<float>(values, DType.F32, shape);

    public TensorView Upload(int[] values, params ReadOnlySpan<int> shape) => Upload<int>(values, DType.I32, shape);

    public TensorView Upload(byte[] values, params ReadOnlySpan<int> shape) => Upload<byte>(values, DType.U8, shape);

    /// <summary>A tensor of a golden file. Rank 4 (activations, convolution weights) is turned from NCHW to NHWC.</summary>
    public TensorView Upload(GoldenFile file, string name)
    {
        int[] shape = file.Shape(name);
        return shape.Length == 4
            ? Upload(ToChannelsLast(file.F32(name), shape), shape[0], shape[2], shape[3], shape[1])
            : Upload(file.F32(name), shape);
    }

    /// <summary>A view full of NaN (integers: -1) for a kernel to write.</summary>
    public TensorView Output(params ReadOnlySpan<int> shape) => Rent(new Shape(shape), DType.F32);

    public TensorView Output(Shape shape, DType type = DType.F32) => Rent(shape, type);

    /// <summary>A view that starts as zero, for kernels that add.</summary>
    public TensorView Zeros(params ReadOnlySpan<int> shape) => Fill(shape, 0);

    public TensorView Ones(params ReadOnlySpan<int> shape) => Fill(shape, 1);

    public TensorView Fill(ReadOnlySpan<int> shape, float value)
    {
        var view = Output(shape);
        Device.Fill(view, value);
        return view;
    }

    /// <summary>Runs the kernel, then checks the sentinels and that it returned what it rented.</summary>
    public void Run<TKernel>(in TKernel kernel) where TKernel : struct, IKernel
    {
        long live = Device.Pool.LiveBytes;
        Device.Run(kernel);
        Assert.True(Device.Pool.LiveBytes == live, $"{typeof(TKernel).Name} kept {Device.Pool.LiveBytes - live} bytes of scratch");
        Assert.True(double.IsFinite(kernel.Cost.Flops) && double.IsFinite(kernel.Cost.Bytes), $"{typeof(TKernel).Name}: cost {kernel.Cost}");
        foreach (var (block, begin, end) in blocks)
        {
            var bytes = Read<byte>(block).AsSpan();
            Assert.True(bytes[..begin].IndexOfAnyExcept(Sentinel) < 0, $"{typeof(TKernel).Name} wrote in front of a view of {end - begin} bytes");
            Assert.True(bytes[end..].IndexOfAnyExcept(Sentinel) < 0, $"{typeof(TKernel).Name} wrote behind a view of {end - begin} bytes: byte {bytes[end..].IndexOfAnyExcept(Sentinel)}");
        }
    }

    public float[] Read(TensorView view) => Read<float>(view);

    public int[] ReadInts(TensorView view) => Read<int>(view);

    /// <summary>The view in the order of the golden files: rank 4 as NCHW.</summary>
    public float[] ReadNchw(TensorView view) =>
        view.Shape.Rank == 4 ? ToChannelsFirst(Read(view), view.Shape.ToArray()) : Read(view);

    /// <summary>Compares a view with a float64 tensor of a golden file.</summary>
    public void Compare(GoldenFile file, string name, TensorView got, Tolerance tolerance) =>
        Close(file.F64(name), ReadNchw(got), tolerance, $"{file.Metadata["op"]}/{file.Metadata["case"]} {name}, {(Device as CpuDevice)?.Width.ToString() ?? Device.Name}");

    public void Dispose()
    {
        if (Device is not GpuDevice || Device is PtxMachineDevice)
        {
            Device.Dispose();
            return;
        }
        foreach (var (block, _, _) in blocks)
            Device.Return(block);
        GpuUnderTest.Leave();
    }

    /// <summary>Asserts the tolerance rule for every element; the worst element is named.</summary>
    public static void Close(ReadOnlySpan<double> expected, ReadOnlySpan<float> got, Tolerance tolerance, string what)
    {
        Assert.True(expected.Length == got.Length, $"{what}: {got.Length} values, expected {expected.Length}");
        double largest = 0, worst = 0;
        foreach (double value in expected)
            if (double.IsFinite(value))
                largest = Math.Max(largest, Math.Abs(value));
        int at = -1;
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i] == got[i] || double.IsNaN(expected[i]) && float.IsNaN(got[i]))
                continue;
            double allowed = tolerance.Plain + tolerance.Absolute * largest + tolerance.Relative * Math.Abs(expected[i]);
            double difference = Math.Abs(got[i] - expected[i]);
            double excess = double.IsNaN(difference) ? double.PositiveInfinity : difference - allowed;
            if (excess > worst)
                (worst, at) = (excess, i);
        }
        Assert.True(at < 0, at < 0 ? "" : $"{what}: element {at} is {got[at]:R}, expected {expected[at]:R} (largest {largest:G4}, {tolerance})");
    }

    public static void Close(ReadOnlySpan<float> expected, ReadOnlySpan<float> got, Tolerance tolerance, string what)
    {
        var wide = new double[expected.Length];
        for (int i = 0; i < wide.Length; i++)
            wide[i] = expected[i];
        Close(wide, got, tolerance, what);
    }

    /// <summary>Asserts that the result has the same bits with 1, 2, 3 and 5 threads, forwards and backwards, and when run again.</summary>
    public static void Deterministic(int lanes, Func<KernelTest, float[]> compute)
    {
        int[]? first = null;
        foreach (int threads in IsGpu(lanes) ? (int[])[1, 5] : [1, 1, 2, 3, 5])
        {
            using var test = new KernelTest(lanes, threads);
            var bits = MemoryMarshal.Cast<float, int>(compute(test)).ToArray();
            first ??= bits;
            Assert.True(first.AsSpan().SequenceEqual(bits), $"{lanes} lanes, {threads} threads: other bits than with one thread");
        }
    }

    /// <summary>Repeatable values in [-scale, scale).</summary>
    public static float[] Random(int seed, long length, float scale = 1)
    {
        var random = new Random(seed);
        var values = new float[length];
        for (int i = 0; i < values.Length; i++)
            values[i] = (random.NextSingle() * 2 - 1) * scale;
        return values;
    }

    /// <summary>Central differences of a double-precision loss: the gradient at <paramref name="at"/>.</summary>
    public static double[] NumericGradient(Func<double[], double> loss, double[] at, double step = 1e-5)
    {
        var gradient = new double[at.Length];
        var point = (double[])at.Clone();
        for (int i = 0; i < at.Length; i++)
        {
            point[i] = at[i] + step;
            double above = loss(point);
            point[i] = at[i] - step;
            double below = loss(point);
            point[i] = at[i];
            gradient[i] = (above - below) / (2 * step);
        }
        return gradient;
    }

    public static double[] Widen(float[] values) => Array.ConvertAll(values, value => (double)value);

    /// <summary>(N,C,H,W) to (N,H,W,C); shape is the one before.</summary>
    public static T[] ToChannelsLast<T>(T[] values, ReadOnlySpan<int> shape) => Swap(values, shape[0], shape[1], shape[2] * shape[3]);

    /// <summary>(N,H,W,C) to (N,C,H,W); shape is the one before.</summary>
    public static T[] ToChannelsFirst<T>(T[] values, ReadOnlySpan<int> shape) => Swap(values, shape[0], shape[1] * shape[2], shape[3]);

    private static T[] Swap<T>(T[] values, int batch, int rows, int columns)
    {
        var result = new T[values.Length];
        for (int n = 0; n < batch; n++)
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++)
                    result[(n * columns + c) * rows + r] = values[(n * rows + r) * columns + c];
        return result;
    }

    private T[] Read<T>(TensorView view) where T : unmanaged
    {
        var values = new T[view.Length];
        Device.Download<T>(view, values);
        ResultTrace.Read(MemoryMarshal.AsBytes<T>(values));
        return values;
    }

    private TensorView Upload<T>(ReadOnlySpan<T> values, DType type, ReadOnlySpan<int> shape) where T : unmanaged
    {
        var view = Rent(new Shape(shape), type);
        Device.Upload(values, view);
        return view;
    }

    private TensorView Rent(Shape shape, DType type)
    {
        int size = type.Size();
        int bytes = checked((int)shape.Length * size);
        var block = Device.Rent(new Shape(bytes + 2 * guard * size), DType.U8, nameof(KernelTest));
        var content = new byte[block.Length];
        content.AsSpan().Fill(Sentinel);
        content.AsSpan(guard * size, bytes).Fill(0xFF);
        Device.Upload<byte>(content, block);
        blocks.Add((block, guard * size, guard * size + bytes));
        return new TensorView(block.Buffer, guard, shape, type);
    }
}
