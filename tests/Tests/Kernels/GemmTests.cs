using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Kernels.Simd;
using Xunit;

namespace CudaKernels.Tests;

public unsafe class GemmTests
{
    /// <summary>Sizes around the edges of tiles of all widths, around the depth of a block, and degenerate ones.</summary>
    private static readonly (int M, int N, int K)[] Edges =
        [(1, 1, 1), (6, 16, 8), (7, 17, 9), (5, 80, 3), (13, 33, 257), (40, 20, 64), (3, 5, 600), (12, 32, 256), (0, 4, 4), (4, 4, 0)];

    public static TheoryData<int, int, int, int> Sizes => Cross([1, 4, 8, 16], Edges);

    public static TheoryData<int, int, int, int> SizesOnBothPaths => Cross([1, 4, 8, 16, KernelTest.Gpu, KernelTest.PtxMachine], Edges);

    [Theory, MemberData(nameof(Sizes))]
    public void BlockEqualsReference(int lanes, int m, int n, int k)
    {
        using var test = new KernelTest(lanes);
        float[] a = KernelTest.Random(1, m * k), b = KernelTest.Random(2, k * n), start = KernelTest.Random(3, m * n);
        foreach (bool transposeB in (bool[])[false, true])
            foreach (bool accumulate in (bool[])[false, true])
            {
                var c = accumulate ? test.Upload(start, m, n) : test.Output(m, n);
                test.Run(new BlockKernel(test.Upload(a, m, k), test.Upload(transposeB ? Transpose(b, k, n) : b, k, n), c, m, n, k, transposeB, accumulate));
                KernelTest.Close(Product(a, b, accumulate ? start : null, m, n, k), test.Read(c), Tolerance.Sum, $"block {m}x{n}x{k}");
            }
    }

    [Theory, MemberData(nameof(SizesOnBothPaths))]
    public void GemmEqualsReference(int lanes, int m, int n, int k)
    {
        using var test = new KernelTest(lanes);
        float[] a = KernelTest.Random(1, m * k), b = KernelTest.Random(2, k * n), start = KernelTest.Random(3, m * n);
        for (int form = 0; form < 8; form++)
        {
            bool transposeA = (form & 1) != 0, transposeB = (form & 2) != 0, accumulate = (form & 4) != 0;
            var c = accumulate ? test.Upload(start, m, n) : test.Output(m, n);
            test.Run(new Gemm(test.Upload(transposeA ? Transpose(a, m, k) : a, m, k), test.Upload(transposeB ? Transpose(b, k, n) : b, k, n),
                c, m, n, k, transposeA, transposeB, accumulate));
            KernelTest.Close(Product(a, b, accumulate ? start : null, m, n, k), test.Read(c), Tolerance.Sum, $"gemm {m}x{n}x{k} form {form}");
        }
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void LinearEqualsGolden(int lanes)
    {
        using var test = new KernelTest(lanes);
        foreach (var path in GoldenFolder.Cases("linear"))
        {
            var file = GoldenFile.Load(path);
            TensorView x = test.Upload(file, "x"), weight = test.Upload(file, "weight"), gradY = test.Upload(file, "grad_out");
            var bias = file.Has("bias") ? test.Upload(file, "bias") : default;
            int rows = (int)x.Shape.Rows, outputs = weight.Shape[0], inputs = weight.Shape[1];
            TensorView y = test.Output(file.Shape("out")), gradX = test.Output(file.Shape("x")), gradWeight = test.Output(outputs, inputs);
            test.Run(new LinearForward(x, weight, bias, y));
            test.Compare(file, "out", y, Tolerance.Sum);
            test.Run(new Gemm(gradY, weight, gradX, rows, inputs, outputs));
            test.Compare(file, "grad.x", gradX, Tolerance.SumGradient);
            test.Run(new Gemm(gradY, x, gradWeight, outputs, inputs, rows, TransposeA: true));
            test.Compare(file, "grad.weight", gradWeight, Tolerance.SumGradient);
            if (bias.IsNone)
                continue;
            var gradBias = test.Output(outputs);
            test.Run(new ChannelSum(gradY, gradBias));
            test.Compare(file, "grad.bias", gradBias, Tolerance.SumGradient);
        }
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void LinearAppliesBiasThenActivation(int lanes)
    {
        using var test = new KernelTest(lanes);
        var y = test.Output(2, 3);
        test.Run(new LinearForward(test.Upload([1f, 2f, 3f, 4f], 2, 2), test.Upload([1f, 0f, 0f, 1f, -1f, -1f], 3, 2), test.Upload([10f, -4f, 0f], 3), y, Activation.LeakyRelu(0.5f)));
        Assert.Equal([11f, -1f, -1.5f, 13f, 0f, -3.5f], test.Read(y));
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ChannelSumEqualsReference(int lanes)
    {
        using var test = new KernelTest(lanes);
        foreach ((int rows, int channels) in ((int, int)[])[(1, 1), (3, 5), (5000, 37), (20000, 1), (7, 300), (0, 4), (4097, 64)])
        {
            float[] values = KernelTest.Random(5, (long)rows * channels), start = KernelTest.Random(6, channels);
            var expected = new double[channels];
            for (int i = 0; i < values.Length; i++)
                expected[i % channels] += values[i];
            var sum = test.Output(channels);
            test.Run(new ChannelSum(test.Upload(values, rows, channels), sum));
            KernelTest.Close(expected, test.Read(sum), Tolerance.SumGradient, $"sum {rows}x{channels}");
            for (int c = 0; c < channels; c++)
                expected[c] += start[c];
            sum = test.Upload(start, channels);
            test.Run(new ChannelSum(test.Upload(values, rows, channels), sum, Accumulate: true));
            KernelTest.Close(expected, test.Read(sum), Tolerance.SumGradient, $"added sum {rows}x{channels}");
        }
    }

    [Theory, MemberData(nameof(KernelTest.Lanes), MemberType = typeof(KernelTest))]
    public void ResultsDoNotDependOnThreads(int lanes) => KernelTest.Deterministic(lanes, test =>
    {
        float[] results = [];
        foreach ((int m, int n, int k) in ((int, int, int)[])[(50, 70, 90), (7, 300, 20), (900, 9, 40)])
        {
            TensorView a = test.Upload(KernelTest.Random(1, m * k), m, k), b = test.Upload(KernelTest.Random(2, k * n), k, n), c = test.Output(m, n), sum = test.Output(n);
            test.Run(new Gemm(a, b, c, m, n, k));
            test.Run(new ChannelSum(c, sum));
            results = [.. results, .. test.Read(c), .. test.Read(sum)];
        }
        return results;
    });

    [Fact]
    public void BadArgumentsAreNamed()
    {
        using var test = new KernelTest(1);
        TensorView a = test.Zeros(2, 3), b = test.Zeros(3, 4), c = test.Zeros(2, 4);
        Fails(() => test.Device.Run(new Gemm(a, b, c, 2, 5, 3)), "Gemm: b expects 3x5 = 15 f32 elements but is f32[3,4]");
        Fails(() => test.Device.Run(new Gemm(a, b, a, 2, 3, 4)), "Gemm: a expects 2x4 = 8 f32 elements but is f32[2,3]");
        Fails(() => test.Device.Run(new Gemm(a, test.Zeros(3, 3), a, 2, 3, 3)), "Gemm: a f32[2,3] and c f32[2,3] share memory; give them buffers of their own");
        Fails(() => test.Device.Run(new LinearForward(a, b, default, c)), "LinearForward: x expects f32 with 4 channels, as weight f32[3,4] has, but is f32[2,3]");
        Fails(() => test.Device.Run(new LinearForward(a, test.Zeros(4, 3), b, c)), "LinearForward: bias expects f32[4] but is f32[3,4]");
        Fails(() => test.Device.Run(new LinearForward(a, test.Zeros(4, 3), default, b)), "LinearForward: y expects f32 with 2 rows of 4 channels but is f32[3,4]");
        Fails(() => test.Device.Run(new ChannelSum(a, b)), "ChannelSum: gradBias expects f32[3] but is f32[3,4]");
    }

    private static void Fails(Action action, string message) => Assert.Equal(message, Assert.Throws<KernelException>(action).Message);

    private static float[] Transpose(float[] values, int rows, int columns)
    {
        var result = new float[values.Length];
        for (int i = 0; i < values.Length; i++)
            result[i % columns * rows + i / columns] = values[i];
        return result;
    }

    private static double[] Product(float[] a, float[] b, float[]? start, int m, int n, int k)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
            {
                double sum = start is null ? 0 : start[i * n + j];
                for (int l = 0; l < k; l++)
                    sum += (double)a[i * k + l] * b[l * n + j];
                c[i * n + j] = sum;
            }
        return c;
    }

    private static TheoryData<int, int, int, int> Cross(int[] lanes, (int M, int N, int K)[] sizes)
    {
        var data = new TheoryData<int, int, int, int>();
        foreach (int lane in lanes)
            foreach (var (m, n, k) in sizes)
                data.Add(lane, m, n, k);
        return data;
    }

    /// <summary>Lets <see cref="GemmBlock"/>, which runs inside other kernels, be called on a device of a chosen width.</summary>
    private readonly record struct BlockKernel(TensorView A, TensorView B, TensorView C, int M, int N, int K, bool TransposeB, bool Accumulate) : IKernel, ISimdBody
    {
        public Cost Cost => default;

        public void Validate()
        {
        }

        public void Run(CpuDevice device) => device.Dispatch(this);

        public void Run(GpuDevice device) => throw new KernelException("BlockKernel: GemmBlock is code of the processor's path");

        public void Invoke<TVector>(CpuDevice device) where TVector : unmanaged, ISimd<TVector>
        {
            var packed = device.Rent(new Shape(checked((int)GemmBlock.PackedFloats<TVector>(N, K))), DType.F32, nameof(BlockKernel));
            GemmBlock.PackB<TVector>(N, K, B.F32, TransposeB ? 1 : N, TransposeB ? K : 1, packed.F32);
            GemmBlock.Multiply<TVector>(M, N, K, A.F32, K, packed.F32, C.F32, N, Accumulate);
            device.Return(packed);
        }
    }
}
