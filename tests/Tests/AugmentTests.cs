using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class AugmentTests
{
    [Theory]
    [InlineData(37, 29, 64, 48)]
    [InlineData(100, 60, 32, 32)]
    [InlineData(1, 1, 5, 7)]
    [InlineData(16, 16, 16, 16)]
    public void ResizeEqualsTheFormula(int width, int height, int toWidth, int toHeight)
    {
        var image = Noise(width, height);
        var got = new byte[toWidth * toHeight * 3];
        Resize.Bilinear(image, toWidth, toHeight, got);
        for (var y = 0; y < toHeight; y++)
            for (var x = 0; x < toWidth; x++)
                for (var channel = 0; channel < 3; channel++)
                {
                    var sourceX = Math.Clamp((x + 0.5) * width / toWidth - 0.5, 0, width - 1);
                    var sourceY = Math.Clamp((y + 0.5) * height / toHeight - 0.5, 0, height - 1);
                    double sum = 0;
                    for (var i = (int)sourceY; i <= Math.Min((int)sourceY + 1, height - 1); i++)
                        for (var j = (int)sourceX; j <= Math.Min((int)sourceX + 1, width - 1); j++)
                            sum += (1 - Math.Abs(sourceY - i)) * (1 - Math.Abs(sourceX - j)) * image.Pixels[(i * width + j) * 3 + channel];
                    Assert.InRange(got[(y * toWidth + x) * 3 + channel], sum - 0.502, sum + 0.502);
                }
    }

    [Fact]
    public void BoxesFollowTheirConvention()
    {
        var box = PixelBox.From(new Box(10, 20, 10 + 30, 20 + 40), 2);
        Assert.Equal(new PixelBox(10, 20, 39, 59, 2), box);
        Assert.Equal(new PixelBox(60, 20, 89, 59, 2), box.Mirror(100));
        Assert.Equal(box, box.Mirror(100).Mirror(100));
        Assert.Equal(new PixelBox(5, 40, 19.5f, 99, 2), box.Scale(0.5f, 2, 50, 100));
    }

    [Fact]
    public void DataFilterKeepsWhatTheSpecificationSays()
    {
        static ObjectAnnotation Make(Box box, bool crowd = false, bool difficult = false, double? area = null) => new(0, box, crowd, difficult, area ?? box.Area, null);
        var sample = new Sample("a.png", 1, 100, 50, [
            Make(new Box(0, 0, 10, 10), crowd: true),
            Make(new Box(0, 0, 10, 10), difficult: true),
            Make(new Box(0, 0, 10, 10), area: 0),
            Make(new Box(0, 0, 0.9, 10)),
            Make(new Box(99.5, 0, 110, 10)),
            Make(new Box(90, 40, 110, 60)),
            Make(new Box(3, 4, 4, 5))]);
        Assert.Equal([new PixelBox(90, 40, 99, 49, 0), new PixelBox(3, 4, 3, 4, 0)], DataFilter.Boxes(sample));
    }

    [Fact]
    public void HueTurnsAndComesBack()
    {
        Span<float> colour = [200, 30, 90];
        PhotometricDistortion.ChangeHue(colour, 1, 120);
        Assert.Equal([90f, 200f, 30f], colour.ToArray().Select(value => MathF.Round(value, 2)));
        PhotometricDistortion.ChangeHue(colour, 1, -120);
        Assert.Equal([200f, 30f, 90f], colour.ToArray().Select(value => MathF.Round(value, 2)));
        PhotometricDistortion.ChangeHue(colour, 0, 0);
        Assert.Equal([200f, 200f, 200f], colour.ToArray());
        Span<float> black = [0, 0, 0];
        PhotometricDistortion.ChangeHue(black, 1.5f, 18);
        Assert.Equal([0f, 0f, 0f], black.ToArray());
        Span<float> belowZero = [-20, 0, -32];
        PhotometricDistortion.ChangeHue(belowZero, 1.5f, 18);
        Assert.All(belowZero.ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void PhotometricDistortionSometimesLeavesThePictureAlone()
    {
        var image = Noise(8, 8);
        var unchanged = 0;
        for (ulong sample = 0; sample < 640; sample++)
        {
            using var picture = new WorkPicture(image, []);
            PhotometricDistortion.Apply(picture, new RandomStream(1, 0, sample));
            if (picture.Pixels.ToArray().Select(value => (int)value).SequenceEqual(image.Pixels.Select(value => (int)value))) unchanged++;
        }

        Assert.InRange(unchanged, 8, 45); // five coins, the last one also when the drawn order is the old one: 640 / 32 * 7 / 6 = 23
    }

    [Fact]
    public void ExpandAndCropKeepTheBoxOnItsObject()
    {
        // A white rectangle on black; wherever the window goes, the box must enclose exactly the white pixels that are seen.
        var image = new ImageBuffer(80, 60);
        for (var y = 12; y < 40; y++)
            for (var x = 25; x < 61; x++)
                image.Pixels.AsSpan((y * 80 + x) * 3, 3).Fill(255);
        var (cropped, expanded) = (0, 0);
        for (ulong sample = 0; sample < 300; sample++)
        {
            using var picture = new WorkPicture(image, [new PixelBox(25, 12, 60, 39, 0)]);
            var random = new RandomStream(7, 0, sample);
            Expand.Apply(picture, random);
            if (picture.Width > 80) expanded++;
            var (width, height) = (picture.Width, picture.Height);
            Assert.InRange(width, 80, 319);
            MinIouCrop.Apply(picture, random);
            if (picture.Width < width || picture.Height < height) cropped++;
            Assert.InRange((double)picture.Height / picture.Width, 0.48, 2.05);

            var seen = new byte[picture.Width * picture.Height * 3];
            Resize.Bilinear(picture, picture.Width, picture.Height, mirror: false, seen);
            var box = Assert.Single(picture.Boxes);
            for (var y = 0; y < picture.Height; y++)
                for (var x = 0; x < picture.Width; x++)
                    Assert.Equal(x >= box.X1 && x <= box.X2 && y >= box.Y1 && y <= box.Y2, seen[(y * picture.Width + x) * 3] == 255);
        }

        Assert.InRange(expanded, 110, 190);
        Assert.InRange(cropped, 200, 299);
    }

    [Fact]
    public void CropKeepsOnlyBoxesWithTheirCentreInside()
    {
        var image = new ImageBuffer(200, 100);
        PixelBox[] boxes = [new(0, 0, 19, 19, 0), new(90, 40, 109, 59, 1), new(180, 80, 199, 99, 2)];
        var dropped = 0;
        for (ulong sample = 0; sample < 300; sample++)
        {
            using var picture = new WorkPicture(image, boxes);
            MinIouCrop.Apply(picture, new RandomStream(3, 1, sample));
            Assert.NotEmpty(picture.Boxes);
            if (picture.Boxes.Count < 3) dropped++;
            Assert.InRange(picture.Left, 0, 200 - picture.Width);
            Assert.InRange(picture.Top, 0, 100 - picture.Height);
            Assert.All(picture.Boxes, box =>
            {
                Assert.InRange(box.X1, 0, box.X2);
                Assert.InRange(box.X2, 0, picture.Width);
                var original = boxes[box.Class];
                Assert.InRange((original.X1 + original.X2) / 2, picture.Left, picture.Left + picture.Width);
            });
        }

        Assert.InRange(dropped, 20, 280);
    }

    [Theory]
    [InlineData((int)Augmentation.Flip)]
    [InlineData((int)Augmentation.Full)]
    public void TheSameStreamGivesTheSamePicture(int kind)
    {
        var image = Noise(90, 70);
        PixelBox[] boxes = [new(10, 10, 49, 49, 0)];
        var (first, second) = (new byte[64 * 64 * 3], new byte[64 * 64 * 3]);
        for (ulong sample = 0; sample < 20; sample++)
        {
            var a = Augment.Train(image, boxes, (Augmentation)kind, 64, new RandomStream(1, 2, sample), first);
            var b = Augment.Train(image, boxes, (Augmentation)kind, 64, new RandomStream(1, 2, sample), second);
            Assert.Equal(a, b);
            Assert.Equal(first, second);
            Assert.All(a, box => Assert.True(box.X1 >= 0 && box.X2 <= 63 && box.Y1 >= 0 && box.Y2 <= 63 && box.X1 <= box.X2));
        }
    }

    [Fact]
    public void MirrorTurnsPixelsAndBoxes()
    {
        var image = Noise(64, 64);
        var (plain, mirrored) = (new byte[64 * 64 * 3], new byte[64 * 64 * 3]);
        PixelBox[] boxes = [new(3, 5, 20, 30, 0)];
        var straight = Augment.Evaluate(image, boxes, 64, plain);
        Assert.Equal(image.Pixels, plain);
        Assert.Equal(boxes, straight);
        var turned = 0;
        for (ulong sample = 0; sample < 100; sample++)
        {
            var got = Augment.Train(image, boxes, Augmentation.Flip, 64, new RandomStream(1, 0, sample), mirrored);
            if (got[0] == boxes[0])
            {
                Assert.Equal(plain, mirrored);
                continue;
            }

            turned++;
            Assert.Equal(new PixelBox(43, 5, 60, 30, 0), got[0]);
            for (var y = 0; y < 64; y++)
                for (var x = 0; x < 64; x++)
                    Assert.Equal(plain[(y * 64 + x) * 3 + 1], mirrored[(y * 64 + 63 - x) * 3 + 1]);
        }

        Assert.InRange(turned, 35, 65);
    }

    private static ImageBuffer Noise(int width, int height)
    {
        var image = new ImageBuffer(width, height);
        var random = new RandomStream(11, 0, 0);
        for (var i = 0; i < image.Pixels.Length; i++) image.Pixels[i] = (byte)random.Int(256);
        return image;
    }
}
