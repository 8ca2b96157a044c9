using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public sealed class DetectorTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("detector").FullName;
    private readonly string weights;

    public DetectorTests()
    {
        weights = Path.Combine(folder, "best.safetensors");
        using var device = new CpuDevice(2);
        var model = ModelCatalog.Create("ttfnet-nano", ["square", "disc"]);
        using var set = new ParameterSet(model, device, seed: 4);
        // A fresh heatmap is far below any score worth reporting: raise it, and let it vary.
        foreach (var (name, parameter) in set.Named)
            if (name == "heatmap.2.bias")
                device.Fill(parameter.Value, 0.5f);
            else if (name is "heatmap.2.weight" or "size.1.weight")
                device.Run(new Scale(parameter.Value, parameter.Value, 20));
        ModelFile.Save(weights, model.Info, set, 64);
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void AFileAndItsPixelsGiveTheSameObjects()
    {
        var picture = Picture(3, 90, 70);
        string path = Path.Combine(folder, "photo.png");
        ImageFile.SavePng(picture, path);
        using var detector = Detector.Load(weights, threads: 1);
        Assert.Equal(["square", "disc"], detector.Classes);
        Assert.Equal(("ttfnet-nano", 64), (detector.Model, detector.ImageSize));

        var found = detector.Detect(path);
        Assert.NotEmpty(found);
        Assert.Equal(found, detector.Detect(picture.Pixels, picture.Width, picture.Height));
        Assert.Equal(found.OrderByDescending(d => d.Score), found);
        Assert.All(found, d =>
        {
            Assert.Equal(detector.Classes[d.Class], d.Label);
            Assert.True(d.Score is >= 0.3f and < 1);
            Assert.True(d.Box is { X1: >= 0, Y1: >= 0, X2: <= 90, Y2: <= 70, Width: > 0, Height: > 0 });
        });
        Assert.Equal(found.Where(d => d.Score >= 0.65f), detector.Detect(path, confidence: 0.65f));
    }

    [Fact]
    public void SeveralThreadsGetWhatOneWouldGet()
    {
        using var detector = Detector.Load(weights, threads: 2);
        var pictures = Enumerable.Range(0, 4).Select(i => Picture((ulong)i, 40 + 19 * i, 100 - 17 * i)).ToArray();
        var alone = pictures.Select(p => detector.Detect(p)).ToArray();
        Assert.All(alone, Assert.NotEmpty);

        var together = new IReadOnlyList<CudaKernels.Detection.Detection>[4][];
        var threads = Enumerable.Range(0, together.Length).Select(t => new Thread(() => together[t] = [.. pictures.Select(p => detector.Detect(p))])).ToArray();
        foreach (var thread in threads)
            thread.Start();
        foreach (var thread in threads)
            thread.Join();
        Assert.All(together, results => Assert.Equal(alone, results));
    }

    [Fact]
    public void TheNumberOfThreadsDoesNotChangeTheResult()
    {
        using var one = Detector.Load(weights, threads: 1);
        using var three = Detector.Load(weights, threads: 3);
        var picture = Picture(1, 64, 64);
        Assert.Equal(one.Detect(picture), three.Detect(picture));
    }

    [Fact]
    public void WrongUseIsNamed()
    {
        Assert.Contains("expects auto, cpu, cuda:N, opencl:N or ilgpu-cpu but is tpu", Assert.Throws<ArgumentException>(() => Detector.Load(weights, "tpu")).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => Detector.Load(weights, threads: -1));
        var detector = Detector.Load(weights, threads: 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => detector.Detect(Picture(1, 8, 8), confidence: float.NaN));
        Assert.Throws<ArgumentException>(() => detector.Detect(new byte[10], 2, 2));
        Assert.Contains("nothing.jpg", Assert.Throws<DataException>(() => detector.Detect(Path.Combine(folder, "nothing.jpg"))).Message);
        detector.Dispose();
        detector.Dispose();
        Assert.Throws<ObjectDisposedException>(() => detector.Detect(Picture(1, 8, 8)));
    }

    private static ImageBuffer Picture(ulong seed, int width, int height)
    {
        var picture = new ImageBuffer(width, height);
        var random = new CounterRandom(seed);
        for (int i = 0; i < picture.Pixels.Length; i++)
            picture.Pixels[i] = (byte)random.At((ulong)(i / 60)).Int(256);
        return picture;
    }
}
