using System.Text.Json;
using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class ImageTests
{
    [Fact]
    public void DecodesTheGoldenPictures()
    {
        var folder = GoldenFolder.Require("images");
        var golden = GoldenFile.Load(Path.Combine(folder, "decoded.safetensors"));
        foreach (var name in golden.Names.Where(name => name is not ("cmyk.jpg" or "rgb_exif_orient6.jpg")))
        {
            var image = ImageFile.Load(Path.Combine(folder, name));
            Assert.Equal(golden.Shape(name), (int[])[image.Height, image.Width, 3]);
            Assert.Equal((image.Width, image.Height), ImageFile.ReadSize(Path.Combine(folder, name)));
            var (largest, mean) = Difference(golden.U8(name), image.Pixels);
            if (!name.EndsWith(".jpg", StringComparison.Ordinal)) Assert.True(largest == 0, $"{name}: largest difference {largest}");
            else if (name.Contains("42", StringComparison.Ordinal) || name is "rgb_optimized.jpg" or "one_pixel.jpg") Assert.True(mean < 2, $"{name}: mean difference {mean}");
            else Assert.True(largest <= 2 && mean < 0.5, $"{name}: largest {largest}, mean {mean}");
        }
    }

    [Fact]
    public void AppliesTheExifOrientation()
    {
        var golden = GoldenFile.Load(GoldenFolder.Require("images", "decoded.safetensors"));
        var stored = golden.U8("rgb_exif_orient6.jpg");
        var image = ImageFile.Load(GoldenFolder.Require("images", "rgb_exif_orient6.jpg"));
        Assert.Equal((37, 53), (image.Width, image.Height));
        Assert.Equal((37, 53), ImageFile.ReadSize(GoldenFolder.Require("images", "rgb_exif_orient6.jpg")));
        var turned = new byte[stored.Length];
        for (var y = 0; y < 53; y++)
            for (var x = 0; x < 37; x++)
                Array.Copy(stored, ((36 - x) * 53 + y) * 3, turned, (y * 37 + x) * 3, 3);
        Assert.True(Difference(turned, image.Pixels).Mean < 2);
    }

    [Fact]
    public void ConvertsCmyk()
    {
        var golden = GoldenFile.Load(GoldenFolder.Require("images", "decoded.safetensors"));
        var image = ImageFile.Load(GoldenFolder.Require("images", "cmyk.jpg"));
        var (largest, mean) = Difference(golden.U8("cmyk.jpg"), image.Pixels);
        Assert.True(mean < 2, $"cmyk: {largest} {mean}");
    }

    [Theory]
    [InlineData("bccd", "JPEGImages")]
    [InlineData("coco33", "images")]
    [InlineData("nuclei", "images")]
    public void DecodesTheDataSetsAsAnotherDecoderDoes(string name, string images)
    {
        var folder = Path.Combine(GoldenFolder.Path, "..", "data", name, images);
        if (!Directory.Exists(folder)) Assert.Skip($"data set {name} is absent: no folder {folder}");
        using var expected = JsonDocument.Parse(File.ReadAllBytes(GoldenFolder.Require("images", $"dataset_{name}.json")));
        foreach (var entry in expected.RootElement.GetProperty("images").EnumerateArray().Where((_, index) => index % 8 == 0))
        {
            var file = entry.GetProperty("file").GetString()!;
            var image = ImageFile.Load(Path.Combine(folder, file));
            Assert.Equal((entry.GetProperty("width").GetInt32(), entry.GetProperty("height").GetInt32()), (image.Width, image.Height));
            var exact = file.EndsWith(".png", StringComparison.Ordinal);
            for (var channel = 0; channel < 3; channel++)
            {
                var sum = 0L;
                for (var i = channel; i < image.Pixels.Length; i += 3) sum += image.Pixels[i];
                var means = entry.GetProperty("mean_rgb");
                Assert.Equal(means[means.GetArrayLength() == 3 ? channel : 0].GetDouble(), 3.0 * sum / image.Pixels.Length, exact ? 0.001 : 1.0);
            }

            foreach (var probe in entry.GetProperty("pixels").EnumerateArray())
            {
                var at = (probe[0].GetInt32() * image.Width + probe[1].GetInt32()) * 3;
                for (var channel = 0; channel < 3; channel++)
                    Assert.InRange(image.Pixels[at + channel] - probe[2 + channel].GetInt32(), exact ? 0 : -8, exact ? 0 : 8);
            }
        }
    }

    [Fact]
    public void EveryTruncationIsAnErrorAndNeverACrash()
    {
        var image = Pattern(48, 40);
        var folder = Directory.CreateTempSubdirectory().FullName;
        foreach (var extension in new[] { "png", "jpg" })
        {
            var path = Path.Combine(folder, "whole." + extension);
            if (extension == "png") ImageFile.SavePng(image, path);
            else ImageFile.SaveJpeg(image, path);
            var bytes = File.ReadAllBytes(path);
            _ = ImageFile.Decode(bytes, path);
            // The last bytes are the end marker (and the PNG's IEND chunk), whose absence loses no pixel.
            for (var length = 0; length < bytes.Length - 24; length += 7)
            {
                var error = Assert.Throws<DataException>(() => ImageFile.Decode(bytes[..length], "cut." + extension));
                Assert.Contains("cut." + extension, error.Message);
            }
        }
    }

    [Fact]
    public void SavesPngExactlyAndJpegClosely()
    {
        var image = Pattern(33, 21);
        var folder = Directory.CreateTempSubdirectory().FullName;
        ImageFile.SavePng(image, Path.Combine(folder, "a.png"));
        Assert.Equal(image.Pixels, ImageFile.Load(Path.Combine(folder, "a.png")).Pixels);
        ImageFile.SaveJpeg(image, Path.Combine(folder, "a.jpg"), 95);
        Assert.True(Difference(image.Pixels, ImageFile.Load(Path.Combine(folder, "a.jpg")).Pixels).Mean < 6);
        var error = Assert.Throws<DataException>(() => ImageFile.SavePng(image, Path.Combine(folder, "absent", "a.png")));
        Assert.Contains("absent", error.Message);
    }

    [Fact]
    public void RefusesPicturesAboveThePixelLimit()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var path = Path.Combine(folder, "large.png");
        ImageFile.SavePng(Pattern(40, 30), path);
        Assert.Contains("40x30 = 1200 pixels, more than the limit of 1199", Assert.Throws<DataException>(() => ImageFile.Load(path, 1199)).Message);
        Assert.Equal(40, ImageFile.Load(path, 1200).Width);
    }

    private static ImageBuffer Pattern(int width, int height)
    {
        var image = new ImageBuffer(width, height);
        for (var i = 0; i < image.Pixels.Length; i++) image.Pixels[i] = (byte)(128 + 60 * Math.Sin(i * 0.05) + 40 * Math.Cos(i * 0.011));
        return image;
    }

    private static (int Largest, double Mean) Difference(byte[] expected, byte[] got)
    {
        Assert.Equal(expected.Length, got.Length);
        var largest = 0;
        var sum = 0L;
        for (var i = 0; i < got.Length; i++)
        {
            var difference = Math.Abs(expected[i] - got[i]);
            largest = Math.Max(largest, difference);
            sum += difference;
        }

        return (largest, (double)sum / got.Length);
    }
}
