using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

/// Every damaged picture and data set of tests/Corpus gets one clear sentence that names the file and the place.
public class CorruptInputTests
{
    private static readonly string Corpus = Path.Combine(GoldenFolder.RepositoryRoot, "tests", "Corpus");

    [Theory]
    [InlineData("absent.png", "does not exist")]
    [InlineData("empty.png", "the file is empty")]
    [InlineData("text.jpg", "is not a picture")]
    [InlineData("truncated.jpg", "truncated")]
    [InlineData("header-only.jpg", "truncated|is not a picture")]
    [InlineData("truncated.png", "truncated")]
    [InlineData("no-data.png", "truncated|damaged|is not a picture")]
    [InlineData("damaged-data.png", "damaged|truncated")]
    [InlineData("too-many-pixels.png", "60000x50000 = 3000000000 pixels, more than the limit of 100000000")]
    [InlineData("zero-width.png", "is not a picture|no pixels")]
    [InlineData("", "is a folder")]
    public void PicturesThatCannotBeRead(string file, string expected)
    {
        var path = Path.Combine(Corpus, "images", file);
        ExpectOneSentence(() => ImageFile.Load(path), path, expected);
    }

    [Fact]
    public void PicturesOfUnusualFormatsAreConverted()
    {
        ImageBuffer Load(string name) => ImageFile.Load(Path.Combine(Corpus, "images", name));
        Assert.Equal([255, 255, 255, 0, 0, 0], Load("bit1.png").Pixels[9..15]);
        Assert.Equal([0x12, 0x80, 0xff, 0x00], Enumerable.Range(0, 4).Select(x => (int)Load("gray16.png").Pixels[3 * x]));
        Assert.Equal([200, 200, 200, 100, 100, 100], Load("gray-alpha.png").Pixels[..6]);
        Assert.Equal([10, 20, 30, 40, 50, 60], Load("rgba.png").Pixels[..6]);
        Assert.Equal([255, 0, 0, 0, 255, 0, 0, 0, 255], Load("palette.png").Pixels[..9]);
        ImageBuffer stored = Load("good.jpg"), turned = Load("exif-orientation-6.jpg");
        Assert.Equal((48, 32, 32, 48), (stored.Width, stored.Height, turned.Width, turned.Height));
        for (var y = 0; y < 48; y++)
            for (var x = 0; x < 32; x++)
                Assert.Equal(stored.Pixels[((31 - x) * 48 + y) * 3], turned.Pixels[(y * 32 + x) * 3]);
        // Adobe's inverted CMYK: cyan 255 means none of it.
        Assert.Equal([255, 0, 0], Load("cmyk.jpg").Pixels[..3].Select(value => value > 250 ? 255 : value < 5 ? 0 : value));
    }

    [Theory]
    [InlineData("absent", "does not exist")]
    [InlineData("malformed", "line 4|line 3")]
    [InlineData("no-object", "line 1", "another kind")]
    [InlineData("empty-file", "line 1")]
    [InlineData("no-images", "empty")]
    [InlineData("no-categories", "categories", "at least one class")]
    [InlineData("missing-annotations", "the key annotations is missing")]
    [InlineData("nan-box", "line 17", "$.annotations[0].bbox")]
    [InlineData("infinite-box", "annotation id 1", "no finite number")]
    [InlineData("text-box", "line 17", "bbox")]
    [InlineData("three-numbers", "annotation id 1", "4 numbers")]
    [InlineData("negative-box", "annotation id 2 (entry 2 of annotations)", "negative size -10 x 10")]
    [InlineData("box-outside", "annotation id 1", "outside the picture of 32x32")]
    [InlineData("unknown-category", "annotation id 1", "category_id 3", "1, 5")]
    [InlineData("unknown-image", "annotation id 1", "image_id 9")]
    [InlineData("duplicate-image-id", "entry 2 of images", "duplicate image id 1")]
    [InlineData("duplicate-annotation-id", "entry 2 of annotations", "duplicate annotation id 7")]
    [InlineData("duplicate-category-id", "entry 3 of categories", "duplicate category id 5")]
    [InlineData("duplicate-category-name", "entry 3 of categories", "dog")]
    [InlineData("image-absent", "image id 2", "absent.png", "does not exist")]
    [InlineData("no-image-id", "entry 1 of images", "needs an id")]
    [InlineData("no-bbox", "entry 1 of annotations", "bbox")]
    [InlineData("negative-area", "annotation id 1", "area", "-4")]
    [InlineData("bad-segmentation", "annotations[0].segmentation", "size [height, width]")]
    public void CocoFilesThatCannotBeUsed(string name, params string[] expected)
    {
        var path = Path.Combine(Corpus, "coco", name + ".json");
        ExpectOneSentence(() => CocoDataset.Open(name, Path.Combine(Corpus, "images"), path), path, expected);
    }

    [Theory]
    [InlineData("malformed", "a.xml", "line 3")]
    [InlineData("document-type", "a.xml", "DTD")]
    [InlineData("image-absent", "train.txt", "line 1", "the picture a does not exist")]
    [InlineData("annotation-absent", "train.txt", "line 2", "b.xml does not exist")]
    [InlineData("duplicate-id", "train.txt", "line 2", "duplicate picture id a")]
    [InlineData("empty-list", "train.txt", "empty")]
    [InlineData("unknown-class", "a.xml", "line 3", "unknown class cat", "dog, horse")]
    [InlineData("nan-box", "a.xml", "line 3", "no finite number")]
    [InlineData("text-box", "a.xml", "line 3", "xmin=left")]
    [InlineData("inverted-box", "a.xml", "line 3", "negative size -7 x 10")]
    [InlineData("box-outside", "a.xml", "line 7", "outside the picture of 32x32")]
    [InlineData("no-name", "a.xml|no class", "name|classes")]
    [InlineData("no-objects", "no object")]
    public void VocFoldersThatCannotBeUsed(string name, params string[] expected)
    {
        var path = Path.Combine(Corpus, "voc", name);
        ExpectOneSentence(() => DatasetSource.Open(path, "train"), path, expected);
    }

    [Theory]
    [InlineData("malformed", "line ", "YAML")]
    [InlineData("empty-yaml", "expected keys")]
    [InlineData("no-names", "names")]
    [InlineData("no-split", "none of the keys train, val, test")]
    [InlineData("names-with-gap", "line 4, names", "without gaps")]
    [InlineData("wrong-count", "line 2, nc", "2 classes")]
    [InlineData("folder-absent", "pictures does not exist")]
    [InlineData("image-absent", "list.txt", "line 2", "b.png does not exist")]
    [InlineData("image-twice", "list.txt", "line 2", "listed twice")]
    [InlineData("no-pictures", "empty")]
    [InlineData("no-labels", "no picture has a label file", "a.txt")]
    [InlineData("unknown-class", "a.txt", "line 2", "unknown class id 2", "0 to 1")]
    [InlineData("negative-class", "a.txt", "line 1", "unknown class id -1")]
    [InlineData("fractional-class", "a.txt", "line 1", "unknown class id 0.5")]
    [InlineData("nan-box", "a.txt", "line 1", "no finite number")]
    [InlineData("negative-box", "a.txt", "line 1", "negative size -8 x 8")]
    [InlineData("box-outside", "a.txt", "line 1", "outside the picture")]
    [InlineData("pixels-not-shares", "a.txt", "line 1", "outside the picture")]
    [InlineData("four-numbers", "a.txt", "line 1", "got 4")]
    [InlineData("words", "a.txt", "line 1", "\"half\"")]
    [InlineData("not-a-picture", "a.png", "is not a picture")]
    public void YoloFoldersThatCannotBeUsed(string name, params string[] expected)
    {
        var path = Path.Combine(Corpus, "yolo", name);
        ExpectOneSentence(() => DatasetSource.Open(Path.Combine(path, "data.yaml"), "train"), path, expected);
    }

    [Theory]
    [InlineData("missing-key.yaml", "line 1, train", "annotations is missing")]
    [InlineData("unknown-key.yaml", "line 1, train", "unknown key annotation")]
    [InlineData("absent-annotations.yaml", "absent.json", "does not exist")]
    [InlineData("absent-images.yaml", "absent", "does not exist")]
    [InlineData("absent.yaml", "does not exist", "expected a VOC folder")]
    public void YamlFilesThatCannotBeUsed(string name, params string[] expected)
    {
        var folder = Path.Combine(Corpus, "yaml");
        ExpectOneSentence(() => DatasetSource.Open(Path.Combine(folder, name), "train"), folder, expected);
    }

    [Fact]
    public void OtherThingsAreNoDataSet()
    {
        var images = Path.Combine(Corpus, "images");
        ExpectOneSentence(() => DatasetSource.Open(images, "train"), images, "is no data set");
        ExpectOneSentence(() => DatasetSource.Open(Path.Combine(images, "good.png"), "train"), images, "is no data set");
        ExpectOneSentence(() => DatasetSource.Open(Path.Combine(Corpus, "yaml", "good.yaml"), "val"), Corpus, "no split val; there are: train");
        ExpectOneSentence(() => DatasetSource.Open(Path.Combine(Corpus, "voc", "good"), "val"), Corpus, "val.txt", "there are: train");
    }

    [Fact]
    public void APictureOfAnotherSizeThanAnnotatedStopsTheLoader()
    {
        var dataset = DatasetSource.Open(Path.Combine(Corpus, "yaml", "wrong-size.yaml"), "train");
        var loader = new BatchLoader(dataset, new BatchLoaderOptions { BatchSize = 1, ImageSize = 32, Augment = Augmentation.Flip });
        ExpectOneSentence(() => loader.Epoch(0).First(), "good.png", "32x32 but annotated as 64x32");
    }

    [Fact]
    public void TheSoundNeighboursWork()
    {
        foreach (var path in new[] { "yaml/good.yaml", "voc/good", "yolo/good/data.yaml", "yolo/good" })
        {
            var dataset = DatasetSource.Open(Path.Combine(Corpus, path), "train");
            Assert.Single(dataset.Read(0).Objects);
            Assert.Equal(0, DatasetCheck.Run(Path.Combine(Corpus, path)).FatalCount);
            Assert.Equal(1, DatasetStats.Of(dataset).Boxes);
        }

        Assert.Equal(new Box(12, 12, 20, 20), DatasetSource.Open(Path.Combine(Corpus, "yolo/good"), "train").Read(0).Objects[0].Box);
        Assert.Equal(new Box(2, 2, 12, 12), DatasetSource.Open(Path.Combine(Corpus, "voc/good"), "train").Read(0).Objects[0].Box);
    }

    /// `data check` never throws over a data set that exists, goes on after the first problem, and says that it found one.
    [Theory]
    [InlineData("voc")]
    [InlineData("yolo")]
    public void CheckListsWhatOpeningRefuses(string format)
    {
        foreach (var folder in Directory.GetDirectories(Path.Combine(Corpus, format)).Where(folder => Path.GetFileName(folder) is not ("good" or "malformed" or "empty-yaml" or "no-split")))
        {
            var check = DatasetCheck.Run(folder);
            Assert.True(check.FatalCount > 0, folder);
            Assert.Contains("\"problems\"", check.ToJson());
        }

        var unusable = DatasetCheck.Run(Path.Combine(Corpus, "yaml", "wrong-size.yaml"));
        Assert.Equal(1, unusable.FatalCount);
    }

    /// Random damage to sound files: either it still reads, or a DataException says why not. Nothing else, ever.
    [Theory]
    [InlineData("coco/good.json", "yaml/good.yaml")]
    [InlineData("yaml/good.yaml", "yaml/good.yaml")]
    [InlineData("voc/good/Annotations/a.xml", "voc/good")]
    [InlineData("voc/good/ImageSets/Main/train.txt", "voc/good")]
    [InlineData("yolo/good/data.yaml", "yolo/good/data.yaml")]
    [InlineData("yolo/good/labels/a.txt", "yolo/good/data.yaml")]
    [InlineData("images/good.png", "yaml/good.yaml")]
    [InlineData("images/good.jpg", "yaml/good.yaml")]
    public void RandomDamageNeverCrashes(string damaged, string data)
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        foreach (var part in new[] { "coco", "yaml", "voc/good", "yolo/good", "images" })
            foreach (var file in Directory.GetFiles(Path.Combine(Corpus, part), "*", SearchOption.AllDirectories).Where(file => Path.GetFileName(file).Contains("good") || part.Contains("good")))
            {
                var copy = Path.Combine(folder, Path.GetRelativePath(Corpus, file));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                File.Copy(file, copy);
            }

        var path = Path.Combine(folder, damaged);
        var sound = File.ReadAllBytes(path);
        var random = new RandomStream(17, 0, (ulong)damaged.Length);
        for (var round = 0; round < 60; round++)
        {
            var bytes = sound.ToList();
            for (var change = random.Int(1, 4); change > 0; change--)
            {
                var at = random.Int(bytes.Count);
                var value = random.Chance(0.5) ? sound[random.Int(sound.Length)] : (byte)random.Int(256);
                if (random.Chance(0.6)) bytes[at] = value;
                else if (random.Chance(0.5)) bytes.Insert(at, value);
                else bytes.RemoveRange(at, Math.Min(random.Int(1, 6), bytes.Count - at));
                if (bytes.Count == 0) bytes.Add(value);
            }

            File.WriteAllBytes(path, [.. bytes]);
            try
            {
                if (damaged.StartsWith("images", StringComparison.Ordinal)) ImageFile.Load(path);
                else DatasetCheck.Run(Path.Combine(folder, data));
                if (!damaged.StartsWith("images", StringComparison.Ordinal)) DatasetSource.Open(Path.Combine(folder, data), "train");
            }
            catch (DataException error)
            {
                Assert.NotEmpty(error.Message);
            }
            catch (Exception error) when (error is not Xunit.Sdk.IAssertionException)
            {
                Assert.Fail($"round {round} of {damaged}: {error}\n{Convert.ToBase64String([.. bytes])}");
            }
        }

        Directory.Delete(folder, recursive: true);
    }

    private static void ExpectOneSentence(Action action, string path, params string[] expected)
    {
        var error = Assert.Throws<DataException>(action);
        Assert.Contains(path, error.Message);
        Assert.DoesNotContain('\n', error.Message);
        Assert.DoesNotContain("CudaKernels.", error.Message);
        foreach (var part in expected)
            Assert.True(part.Split('|').Any(choice => error.Message.Contains(choice, StringComparison.Ordinal)), $"expected \"{part}\" in: {error.Message}");
    }
}
