using CudaKernels.Kernels;
using Xunit;

namespace CudaKernels.Tests;

public class CounterRandomTests
{
    [Fact]
    public void AValueDependsOnAllFourCountersAndOnNothingElse()
    {
        var seen = new HashSet<ulong>();
        for (ulong seed = 0; seed < 8; seed++)
            for (ulong epoch = 0; epoch < 8; epoch++)
                for (ulong sample = 0; sample < 8; sample++)
                    for (ulong draw = 0; draw < 8; draw++)
                        Assert.True(seen.Add(new CounterRandom(seed, epoch, sample, draw).Bits));
        Assert.Equal(new CounterRandom(3, 4, 5, 6).Bits, new CounterRandom(3, 4, 5).At(6).Bits);
    }

    [Fact]
    public void UniformAndNormalHaveTheirMoments()
    {
        const int count = 200_000;
        double mean = 0, square = 0, normalMean = 0, normalSquare = 0;
        for (var i = 0; i < count; i++)
        {
            var uniform = new CounterRandom(1, 0, (ulong)i).Uniform();
            Assert.InRange(uniform, 0, 0.9999999999999999);
            mean += uniform / count;
            square += uniform * uniform / count;
            var normal = new CounterRandom(2).At((ulong)i).Normal();
            normalMean += normal / count;
            normalSquare += normal * normal / count;
        }

        Assert.Equal(0.5, mean, 0.003);
        Assert.Equal(1.0 / 3, square, 0.003);
        Assert.Equal(0, normalMean, 0.01);
        Assert.Equal(1, normalSquare, 0.015);
    }

    [Fact]
    public void IntegersAreEven()
    {
        var counts = new int[7];
        for (ulong draw = 0; draw < 70_000; draw++)
            counts[new CounterRandom(9).At(draw).Int(7)]++;
        Assert.All(counts, count => Assert.InRange(count, 9_600, 10_400));
        Assert.Throws<ArgumentOutOfRangeException>(() => new CounterRandom(1).Int(0));
    }
}
