using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public class ScheduleTests
{
    [Fact]
    public void WarmupOfTtfNet()
    {
        var schedule = new Schedule(0.016, RateDecay.Steps([1000, 2000]), Warmup.Linear(500, 0.2));
        (long Iteration, double Rate)[] expected =
            [(0, 0.0032), (1, 0.0032256), (250, 0.0096), (499, 0.0159744), (500, 0.016), (999, 0.016), (1000, 0.0016), (2000, 0.00016)];
        foreach (var (iteration, rate) in expected)
        {
            Assert.Equal(rate, schedule.Exact(iteration), 1e-12);
            Assert.Equal((float)rate, schedule.Rate(iteration), 1e-9f);
        }
    }

    [Fact]
    public void BothLinearFormsAreTheSame()
    {
        foreach (double ratio in (double[])[0.001, 0.2, 1.0 / 3, 1])
            for (long i = 0; i <= 60; i++)
            {
                double share = Math.Min(1, i / 50.0);
                double mmcv = 1 - (1 - share) * (1 - ratio), detectron = ratio * (1 - share) + share;
                Assert.Equal(mmcv, Warmup.Linear(50, ratio).Factor(i), 1e-14);
                Assert.Equal(detectron, Warmup.Linear(50, ratio).Factor(i), 1e-14);
            }
    }

    [Fact]
    public void GoldenCases()
    {
        foreach (var path in GoldenFolder.Cases("lr_schedule"))
        {
            var file = GoldenFile.Load(path);
            double rate = file.Attribute("base_lr")!.Value.GetDouble();
            var schedule = file.Metadata["case"] switch
            {
                "constant_warmup" => new Schedule(rate, RateDecay.None, Warmup.Constant(8, 0.1)),
                "linear_warmup_1000" => new Schedule(rate, RateDecay.None, Warmup.Linear(50, 0.001)),
                "linear_warmup_third" => new Schedule(rate, RateDecay.None, Warmup.Linear(10, 1.0 / 3)),
                "multistep" => new Schedule(rate, RateDecay.Steps([8, 11, 20])),
                "step" => new Schedule(rate, RateDecay.Steps([7, 14, 21], 0.5)),
                "cosine" => new Schedule(rate, RateDecay.Cosine(40, 0.001 / rate)),
                "poly" => new Schedule(rate, RateDecay.Polynomial(30, 0.9)),
                "exponential" => new Schedule(rate, RateDecay.Exponential(0.9)),
                "warmup_then_multistep" => new Schedule(rate, RateDecay.Steps([20, 30]), Warmup.Linear(10, 0.001)),
                var name => throw new InvalidOperationException($"lr_schedule/{name} has no schedule in this test"),
            };
            var expected = file.F64("lr");
            for (int i = 0; i < expected.Length; i++)
                Assert.Equal(expected[i], schedule.Exact(i), 1e-12);
        }
    }
}
