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
    public void YamlComesBackTheSame()
    {
        using var folder = new TempFolder();
        var config = Build("data=it's a \"path\": odd", "lr=0.0123", "non_finite=rollback", "drops=3,4", "epochs=9", "seed=18446744073709551615");
        string path = folder.Write("config.yaml", ConfigKeys.ToYaml(config));
        var back = ConfigKeys.Build(ConfigKeys.ReadFile(path));
        Assert.Equal(config with { Drops = [] }, back with { Drops = [] });
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
