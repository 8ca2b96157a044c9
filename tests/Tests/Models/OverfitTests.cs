using CudaKernels.Detection;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public class OverfitTests
{
    private const int Side = 64;

    /// <summary>Class 0 is red, class 1 is green; corners in the +1 convention.</summary>
    private static readonly (int Class, int X1, int Y1, int X2, int Y2)[][] Scenes =
    [
        [(0, 5, 7, 31, 30), (1, 37, 35, 58, 61)],
        [(1, 13, 11, 50, 37)],
        [(0, 33, 4, 59, 25), (0, 4, 33, 27, 59), (1, 36, 36, 60, 53)],
        [(0, 16, 20, 47, 57)],
    ];

    internal static readonly string[] Classes = ["red", "green"];

    [Fact]
    public void TtfNetLearnsFourPicturesByHeart()
    {
        using var device = new CpuDevice(2);
        var model = ModelCatalog.Create("ttfnet-nano", Classes);
        using var set = new ParameterSet(model, device, seed: 7);
        using var optimizer = new AdamW(set, weightDecay: 0, clipNorm: 35);
        var (pictures, targets) = Problem();

        var history = new List<float>();
        long liveAtTen = 0;
        for (int step = 0; step < 200; step++)
        {
            if (step == 10)
                liveAtTen = device.Pool.LiveBytes;
            using var scope = new StepScope(device, record: true);
            set.BeginGradients();
            var losses = model.Loss(ModelInput.Prepare(scope, pictures, Side), targets).Values;
            scope.Backward(losses);
            set.CompleteGradients();
            optimizer.Step(step < 150 ? 3e-3f : 1e-3f);
            history.Add(losses.Sum(l => l.View.AsFloats()[0]));
        }
        Assert.Equal(liveAtTen, device.Pool.LiveBytes);
        Assert.True(history[^1] < 0.25 * history[0], $"the loss went from {history[0]} to {history[^1]}");

        model.Train(false);
        using var look = new StepScope(device, record: false);
        var found = model.Detect(ModelInput.Prepare(look, pictures, Side));
        for (int i = 0; i < Scenes.Length; i++)
        {
            var sure = found[i].Where(d => d.Score > 0.5f).ToArray();
            string seen = $"picture {i}: {string.Join(", ", found[i].Take(6))}";
            Assert.True(sure.Length == Scenes[i].Length, seen);
            foreach (var (category, x1, y1, x2, y2) in Scenes[i])
                Assert.True(sure.Any(d => d.Class == category && Overlap(d, x1, y1, x2, y2) > 0.7), seen);
        }
    }

    /// <summary>The four pictures and what is on them.</summary>
    internal static (ImageBuffer[] Pictures, Targets Targets) Problem() => ([.. Scenes.Select(Draw)], new Targets(
        [.. Scenes.Select(s => s.SelectMany(o => new float[] { o.X1, o.Y1, o.X2, o.Y2 }).ToArray())],
        [.. Scenes.Select(s => s.Select(o => o.Class).ToArray())]));

    private static ImageBuffer Draw((int Class, int X1, int Y1, int X2, int Y2)[] objects)
    {
        var picture = new ImageBuffer(Side, Side);
        for (int y = 0; y < Side; y++)
            for (int x = 0; x < Side; x++)
            {
                var pixel = picture.Pixels.AsSpan((y * Side + x) * 3, 3);
                pixel.Fill((byte)(90 + (x * 7 + y * 13) % 40));
                foreach (var (category, x1, y1, x2, y2) in objects)
                    if (x >= x1 && x <= x2 && y >= y1 && y <= y2)
                        pixel[category] = 240;
            }
        return picture;
    }

    private static double Overlap(RawDetection a, int x1, int y1, int x2, int y2)
    {
        double width = Math.Min(a.X2, x2) - Math.Max(a.X1, x1) + 1, height = Math.Min(a.Y2, y2) - Math.Max(a.Y1, y1) + 1;
        double shared = Math.Max(0, width) * Math.Max(0, height);
        return shared / ((a.X2 - a.X1 + 1) * (a.Y2 - a.Y1 + 1) + (x2 - x1 + 1.0) * (y2 - y1 + 1) - shared);
    }
}
