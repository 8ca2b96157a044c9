using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public sealed class ConfigTests
{
    [Theory]
    [InlineData("1x", 12, new[] { 9, 11 }, Augmentation.Flip)]
    [InlineData("2x", 24, new[] { 18, 22 }, Augmentation.Flip)]
    [InlineData("10x", 120, new[] { 90, 110 }, Augmentation.Full)]
    public void RecipesSetEpochsDropsAndAugmentation(string name, int epochs, int[] drops, object augment)
    {
        var config = Build($"recipe={name}");
        Assert.Equal(epochs, config.Epochs);
        Assert.Equal(drops, config.Drops);
        Assert.Equal(augment, config.Augment);
    }

    [Fact]
    public void DropsFollowTheNumberOfEpochsUnlessSet()
    {
        Assert.Equal([36, 44], Build("epochs=48").Drops);
        Assert.Equal([5, 7], Build("drops=5,7", "epochs=48").Drops);
    }

    [Theory]
    [InlineData("ttfnet-18", 128, 0.016)]
    [InlineData("ttfnet-34", 16, 0.002)]
    [InlineData("ttfnet-53", 96, 0.015)]
    [InlineData("ttfnet-53", 32, 0.005)]
    public void TheRateIsThePublishedOneScaledWithTheBatch(string model, int batch, double rate) =>
        Assert.Equal(rate, ModelCatalog.Create(model, ["thing"]).Info.PublishedRate.For(batch), 8);

    [Fact]
    public void MegDetsPolicyScalesWarmsUpAndDropsByItsOwnFactors()
    {
        var config = Build("batch=256", "lr=0.02", "lr_batch=16", "epochs=18", "drops=11,14,17", "drop_factors=0.1,0.1,0.5", "warmup_steps=1000", "warmup_ratio=0.01");
        var (schedule, words) = RatePlan.Of(config, new PublishedRate(1, 1), stepsPerEpoch: 460);
        Assert.Equal("rate 0.32 for batch 256 (0.02 · batch / 16), ×0.1 at step 5060, ×0.1 at step 6440, ×0.5 at step 7820", words);
        (long Step, double Rate)[] expected = [(0, 0.0032), (500, 0.32 * 0.505), (1000, 0.32), (5059, 0.32), (5060, 0.032), (6440, 0.0032), (7819, 0.0032), (7820, 0.0016), (8279, 0.0016)];
        Assert.All(expected, e => Assert.Equal(e.Rate, schedule.Exact(e.Step), 1e-6 * e.Rate));
    }

    [Theory]
    [InlineData(2, 120_000, 160_000)] // rethinking pre-training: the last 60k and the last 20k iterations of n times 90k
    [InlineData(3, 210_000, 250_000)]
    [InlineData(6, 480_000, 520_000)]
    [InlineData(9, 750_000, 790_000)]
    public void DropsMayBeCountedFromTheEnd(int times, long first, long second)
    {
        var config = Build($"epochs={9 * times}", "drops=-60000,-20000", "drop_unit=step", "lr=0.02", "warmup_steps=500");
        var schedule = RatePlan.Of(config, default, stepsPerEpoch: 10_000).Schedule;
        foreach (var (step, rate) in new[] { (first - 1, 0.02), (first, 0.002), (second - 1, 0.002), (second, 0.0002) })
            Assert.Equal(rate, schedule.Exact(step), 1e-8);
        Assert.Contains($"drops begin 60000 steps before the end but the schedule has only {9 * times * 100}",
            Assert.Throws<DataException>(() => RatePlan.Of(config, default, stepsPerEpoch: 100)).Message);
    }

    [Fact]
    public void YamlComesBackTheSame()
    {
        using var folder = new TempFolder();
        var config = Build("data=it's a \"path\": odd", "lr=0.0123", "non_finite=rollback", "drops=3,4", "drop_factors=0.1,0.5", "epochs=9", "seed=18446744073709551615");
        string path = folder.Write("config.yaml", ConfigKeys.ToYaml(config));
        var back = ConfigKeys.Build(ConfigKeys.ReadFile(path));
        Assert.Equal(config with { Drops = [], DropFactors = [] }, back with { Drops = [], DropFactors = [] });
        Assert.Equal(config.DropFactors, back.DropFactors);
        Assert.Equal(config.Drops, back.Drops);
    }

    [Theory]
    [InlineData("imgsz=100", "imgsz", "multiple of 32")]
    [InlineData("batch=0", "batch", "at least 1")]
    [InlineData("lr=nan", "lr", "NaN")]
    [InlineData("lr=0,01", "lr", "a number such as 0.01")]
    [InlineData("seed=-1", "seed", "at least 0")]
    [InlineData("batch=99999999999", "batch", "up to 2147483647")]
    [InlineData("workers=100000", "workers", "1 to 1024")]
    [InlineData("optimizer=rmsprop", "optimizer", "sgd or adamw")]
    [InlineData("drops=4,3", "drops", "ascending")]
    [InlineData("drops=-4,3", "drops", "all positive or all negative")]
    [InlineData("drop_factors=0.1,0.1,0.5", "drop_factors", "one for each of 2 drops")]
    [InlineData("drop_factors=10", "drop_factors", "in (0, 1]")]
    [InlineData("drop_unit=iteration", "drop_unit", "epoch or step")]
    [InlineData("lr_batch=16", "lr_batch", "with lr")]
    [InlineData("accumulate=0", "accumulate", "at least 1")]
    [InlineData("recipe=3x", "recipe", "1x, 2x, 10x")]
    [InlineData("momentun=0.9", "momentun", "did you mean momentum")]
    public void AWrongSettingNamesKeyAndExpectation(string setting, params string[] texts)
    {
        string message = Assert.Throws<DataException>(() => Build(setting)).Message;
        foreach (string text in texts)
            Assert.Contains(text, message);
    }

    [Theory]
    [InlineData("drops: &a [*a]", "expects a value or a list")]
    [InlineData("batch: {a: 1}", "expects a value or a list")]
    [InlineData("lr: 1\nlr: 2", "Duplicate key")]
    [InlineData("- batch", "key: value")]
    public void AConfigurationOfAnotherShapeNamesTheFile(string text, string expected)
    {
        using var folder = new TempFolder();
        string path = folder.Write("config.yaml", text);
        string message = Assert.Throws<DataException>(() => ConfigKeys.ReadFile(path)).Message;
        Assert.StartsWith(path, message);
        Assert.Contains(expected, message);
    }

    private static TrainConfig Build(params string[] settings) => ConfigKeys.Build([.. settings.Select(ConfigKeys.Parse)]);
}
