using System.Runtime.InteropServices;
using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public sealed class ConvertTypeTests
{
    /// <summary>Ties both ways, the largest number that stays finite, the first that does not, subnormals, signs, infinities.</summary>
    private static readonly (uint Single, ushort Half)[] Known =
    [
        (0x00000000, 0x0000), (0x80000000, 0x8000), (0x3f800000, 0x3f80), (0x3f808000, 0x3f80), (0x3f818000, 0x3f82), (0x3f808001, 0x3f81), (0xbf807fff, 0xbf80),
        (0x7f7f7fff, 0x7f7f), (0x7f7f8000, 0x7f80), (0x7f800000, 0x7f80), (0xff800000, 0xff80), (0x00008000, 0x0000), (0x00008001, 0x0001), (0x0001ffff, 0x0002), (0x80400000, 0x8040),
    ];

    /// <summary>A multiple of eight, where views lie so that eight go at once, and a number that is none.</summary>
    [Theory, MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void NumbersAreRoundedToTheNearestAndComeBack(int lanes)
    {
        foreach (int count in (int[])[1, 15, 304])
        {
            using var test = new KernelTest(lanes);
            float[] values = KernelTest.Random(count, count, 100);
            for (int i = 0; i < Math.Min(count, Known.Length); i++)
                values[i] = BitConverter.UInt32BitsToSingle(Known[i].Single);
            TensorView narrow = test.Output(new Shape(count), DType.BF16), wide = test.Output(count);
            test.Run(new ConvertType(test.Upload(values, count), narrow));
            test.Run(new ConvertType(narrow, wide));
            var halves = new ushort[count];
            test.Device.Download<ushort>(narrow, halves);
            float[] back = test.Read(wide);
            for (int i = 0; i < count; i++)
            {
                ushort expected = i < Known.Length ? Known[i].Half : (ushort)Math.Round(BitConverter.SingleToUInt32Bits(values[i]) / 65536.0, MidpointRounding.ToEven);
                Assert.Equal(expected, halves[i]);
                Assert.Equal((uint)expected << 16, BitConverter.SingleToUInt32Bits(back[i]));
            }
        }
    }

    [Theory, MemberData(nameof(KernelTest.LanesAndByFour), MemberType = typeof(KernelTest))]
    public void WhatIsNoNumberStaysSo(int lanes)
    {
        using var test = new KernelTest(lanes);
        uint[] bits = [0x7f800001, 0x7fffffff, 0xffffffff, 0x7fc00000, 0xff800001, 0x7f80ffff, 0xffbfffff, 0x7f810000];
        var narrow = test.Output(new Shape(8), DType.BF16);
        test.Run(new ConvertType(test.Upload(MemoryMarshal.Cast<uint, float>(bits).ToArray(), 8), narrow));
        var halves = new ushort[8];
        test.Device.Download<ushort>(narrow, halves);
        Assert.All(halves, half => Assert.True(float.IsNaN(BitConverter.UInt32BitsToSingle((uint)half << 16))));
    }

    [Fact]
    public void TypesAndLengthsAreChecked()
    {
        using var test = new KernelTest(1);
        var x = test.Output(4);
        Assert.Contains("one f32 and one bf16", Assert.Throws<KernelException>(() => test.Run(new ConvertType(x, test.Output(4)))).Message);
        Assert.Contains("equal length", Assert.Throws<KernelException>(() => test.Run(new ConvertType(x, test.Output(new Shape(5), DType.BF16)))).Message);
    }
}
