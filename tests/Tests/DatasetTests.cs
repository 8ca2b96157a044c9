using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class DatasetTests
{
    [Theory]
    [InlineData("train", 205, 2382, 214, 209)]
    [InlineData("val", 87, 968, 87, 83)]
    [InlineData("test", 72, 805, 71, 69)]
    public void ReadsBccdAlikeFromVocAndCoco(string split, int images, int red, int white, int platelets)
    {
        var folder = DataFolder("bccd");
        var voc = DatasetSource.Open(folder, split);
        var coco = CocoDataset.Open("coco", Path.Combine(folder, "JPEGImages"), Path.Combine(folder, "coco", $"instances_{split}.json"));
        Assert.Equal((images, images), (voc.Count, coco.Count));
        Assert.Equal(["Platelets", "RBC", "WBC"], voc.Classes);
        Assert.Equal(["RBC", "WBC", "Platelets"], coco.Classes);
        var stats = DatasetStats.Of(coco);
        Assert.Equal([red, white, platelets], stats.Classes.Select(entry => entry.Boxes));
        Assert.Equal(red + white + platelets, stats.Boxes);
        for (var i = 0; i < images; i++)
        {
            Sample a = voc.Read(i), b = coco.Read(i);
            Assert.Equal((b.ImagePath, b.Width, b.Height), (a.ImagePath, a.Width, a.Height));
            Assert.Equal(b.Objects.Select(found => (coco.Classes[found.Class], found.Box, found.Area)), a.Objects.Select(found => (voc.Classes[found.Class], found.Box, found.Area)));
        }
    }

    [Fact]
    public void ReadsCocoWithGapsInTheIdsCrowdsAndEmptyPictures()
    {
        var folder = DataFolder("coco33");
        var dataset = CocoDataset.Open("coco33", Path.Combine(folder, "images"), Path.Combine(folder, "annotations", "instances.json"));
        Assert.Equal((33, 80), (dataset.Count, dataset.Classes.Count));
        Assert.Equal((1, 90), (dataset.CategoryIds[0], dataset.CategoryIds[79]));
        Assert.Equal("toothbrush", dataset.Classes[79]);
        var stats = DatasetStats.Of(dataset);
        Assert.Equal((243, 3, 1), (stats.Boxes, stats.Crowds, stats.ImagesWithoutObjects));
        Assert.Equal(44, stats.Classes.Count(entry => entry.Boxes > 0 || entry.Images > 0));
        var objects = Enumerable.Range(0, 33).SelectMany(i => dataset.Read(i).Objects).ToArray();
        Assert.All(objects, found => Assert.NotNull(found.Segmentation));
        Assert.All(objects.Where(found => found.Crowd), found => Assert.True(found.Segmentation!.Runs!.Sum() == (long)found.Segmentation.Width * found.Segmentation.Height));
        Assert.Equal(stats.Images, JsonDocument.Parse(stats.ToJson()).RootElement.GetProperty("images").GetInt32());
    }

    [Fact]
    public void CheckFindsTheKnownBlemishesOfBccd()
    {
        var check = DatasetCheck.Run(DataFolder("bccd"), threads: 2);
        Assert.Equal(0, check.FatalCount);
        Assert.Equal(["BloodImage_00343.xml", "BloodImage_00338.xml"], check.Problems.Where(problem => problem.Message.Contains("only 1 x ")).Select(problem => Path.GetFileName(problem.Path)));
        Assert.Equal([205, 87, 72], check.Splits.Select(split => split.Images));
    }

    [Fact]
    public void GeneratesADataSetThatOpensAndChecks()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var yaml = SyntheticGenerator.Write(folder, 32, 96, seed: 5, threads: 2);
        var train = DatasetSource.Open(yaml, "train");
        var validation = DatasetSource.Open(folder, "val");
        DatasetSource.RequireSameClasses(train, validation);
        Assert.Equal((28, 4), (train.Count, validation.Count));
        Assert.Equal(SyntheticShape.Names, train.Classes);
        var check = DatasetCheck.Run(folder);
        Assert.DoesNotContain(check.Problems, problem => problem.Fatal || !problem.Message.Contains("has no object", StringComparison.Ordinal));
        for (var i = 0; i < train.Count; i++)
            foreach (var found in train.Read(i).Objects)
            {
                var polygon = Assert.Single(found.Segmentation!.Polygons);
                Assert.Equal(SyntheticShape.Area(polygon), found.Area, 0.01);
                Assert.Equal(polygon.Where((_, k) => k % 2 == 0).Min(), found.Box.X1, 0.011);
                Assert.Equal(polygon.Where((_, k) => k % 2 == 1).Max(), found.Box.Y2, 0.011);
                Assert.InRange(Math.Max(found.Box.Width, found.Box.Height), 15, 96);
            }

        var again = Directory.CreateTempSubdirectory().FullName;
        SyntheticGenerator.Write(again, 32, 96, seed: 5);
        foreach (var file in new[] { "annotations/train.json", "images/train/000007.jpg", "images/val/000001.jpg" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder, file)), File.ReadAllBytes(Path.Combine(again, file)));
        SyntheticGenerator.Write(again, 32, 96, seed: 6); // over itself
        Assert.NotEqual(File.ReadAllBytes(Path.Combine(folder, "images/train/000007.jpg")), File.ReadAllBytes(Path.Combine(again, "images/train/000007.jpg")));
        File.WriteAllText(Path.Combine(again, "data.yaml"), "train: something of the user");
        Assert.Contains("holds other files", Assert.Throws<DataException>(() => SyntheticGenerator.Write(again, 32, 96, seed: 6)).Message);
    }

    [Fact]
    public void GeneratedObjectsStayVisibleAndAreDrawnWhereTheyAreAnnotated()
    {
        for (ulong index = 0; index < 40; index++)
        {
            var picture = new SyntheticPicture(160, seed: 1, index);
            Assert.InRange(picture.Objects.Count, 1, 6);
            for (var i = 0; i < picture.Objects.Count; i++)
            {
                Assert.InRange(picture.VisibleFraction(i), 0.7, 1.0000001);
                var polygon = picture.Objects[i].Polygon;
                Assert.All(polygon, value => Assert.InRange(value, 0, 160));
                var area = SyntheticShape.Area(polygon);
                Assert.InRange(new PolygonCoverage(polygon, 160, 160).Sum, 0.99 * area, 1.01 * area);
            }
        }
    }

    private static string DataFolder(string name)
    {
        var folder = Path.GetFullPath(Path.Combine(GoldenFolder.Path, "..", "data", name));
        if (!Directory.Exists(folder)) Assert.Skip($"data set {name} is absent: no folder {folder}");
        return folder;
    }
}
