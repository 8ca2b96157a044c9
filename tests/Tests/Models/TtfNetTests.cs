using CudaKernels.Detection;
using CudaKernels.Kernels;
using CudaKernels.Kernels.Devices;
using CudaKernels.Layers;
using Xunit;

namespace CudaKernels.Tests;

public class TtfNetTests
{
    private const double BackgroundCell = 1.005034e-6; // p² · −ln(1 − p) at p = 0.01
    private const double Centre = 4.513527; // (1 − p)² · −ln p at p = 0.01

    [Fact]
    public void FirstLossIsWhatAFreshHeatmapGives()
    {
        using var device = new CpuDevice(2);
        var model = ModelCatalog.Create("ttfnet-nano", Names(80));
        using var set = new ParameterSet(model, device, seed: 3);
        using var scope = new StepScope(device, record: true);
        // Three objects apart from each other and from the border, in two pictures.
        var targets = new Targets([[100, 60, 299, 179, 330, 300, 459, 449], [40, 200, 239, 399]], [[7, 0], [79]]);
        var losses = model.Loss(Pictures(scope, 2, 512), targets).Parts.ToDictionary(p => p.Name, p => p.Value.View.AsFloats()[0]);

        var goal = TtfGoal.Encode(scope, new Shape(2, 128, 128, 80), targets, 4, 0.54f);
        double background = 0;
        foreach (float y in goal.Heatmap.View.AsFloats())
            background += Math.Pow(1 - y, 4) * BackgroundCell;
        Assert.Equal(Centre + background / 3, losses["heatmap"], 0.02);
        Assert.Equal(4.51 + 1.32 * 2 / 3, losses["heatmap"], 0.03);

        // A predicted box of one pixel inside the target has GIoU = 1 / area.
        double weights = 0, loss = 0;
        var (weight, box) = (goal.Weights.View.AsFloats().ToArray(), goal.Boxes.View.AsFloats().ToArray());
        for (int i = 0; i < weight.Length; i++)
        {
            double area = (box[4 * i + 2] - box[4 * i] + 1) * (box[4 * i + 3] - box[4 * i + 1] + 1);
            weights += weight[i];
            loss += weight[i] * (1 - 1 / area);
        }
        Assert.Equal(5 * loss / (weights + 1e-4), losses["box"], 0.02);
    }

    [Fact]
    public void PicturesWithoutObjectsGiveTheUndividedBackground()
    {
        using var device = new CpuDevice(2);
        var model = ModelCatalog.Create("ttfnet-nano", Names(80));
        using var set = new ParameterSet(model, device, seed: 3);
        using var scope = new StepScope(device, record: true);
        set.BeginGradients();
        var parts = model.Loss(Pictures(scope, 1, 128), new Targets([[]], [[]]));
        Assert.Equal(80 * 32 * 32 * BackgroundCell, parts.Parts[0].Value.View.AsFloats()[0], 0.002);
        Assert.Equal(0, parts.Parts[1].Value.View.AsFloats()[0]);
        scope.Backward(parts.Values);
        set.CompleteGradients();
        foreach (float gradient in set.Gradients.AsFloats())
            Assert.True(float.IsFinite(gradient));
    }

    [Fact]
    public void HeadsStartAsSpecified()
    {
        using var device = new CpuDevice(2);
        var model = ModelCatalog.Create("ttfnet-18", Names(20));
        using var set = new ParameterSet(model, device, seed: 1);
        var values = set.Named.ToDictionary(n => n.Name, n => n.Parameter.Value);
        Assert.Equal(27, values["up1.deform.conv_offset_mask.weight"].Shape[0]);
        Assert.All(values["up1.deform.conv_offset_mask.weight"].AsFloats().ToArray(), v => Assert.Equal(0, v));
        Assert.All(values["heatmap.2.bias"].AsFloats().ToArray(), v => Assert.Equal(-4.59512f, v, 5));
        Assert.Equal(0.01, Deviation(values["heatmap.0.weight"]), 4);
        Assert.Equal(0.001, Deviation(values["size.0.weight"]), 5);
        Assert.Equal(Math.Sqrt(2.0 / (9 * 256)), Deviation(values["shortcut4.0.weight"]), 3);
        Assert.All(values["size.1.bias"].AsFloats().ToArray(), v => Assert.Equal(0, v));
    }

    [Fact]
    public void DecodeTurnsPeaksIntoBoxesInsideTheInput()
    {
        using var device = new CpuDevice(1);
        using var scope = new StepScope(device, record: false);
        var logits = new float[8 * 8 * 2];
        Array.Fill(logits, -10);
        var sizes = new float[8 * 8 * 4];
        Put(x: 3, y: 2, category: 1, logit: 2, left: 5, top: 6, right: 7, bottom: 9);
        Put(x: 4, y: 2, category: 1, logit: 1, left: 1, top: 1, right: 1, bottom: 1); // beside a higher cell of its class
        Put(x: 4, y: 3, category: 0, logit: 1, left: 99, top: 99, right: 99, bottom: 99);
        Put(x: 0, y: 7, category: 0, logit: -4.7f, left: 1, top: 1, right: 1, bottom: 1); // score below 0.01

        var found = TtfDecoder.Decode(scope.Upload<float>(logits, new Shape(1, 8, 8, 2), "logits"),
            scope.Upload<float>(sizes, new Shape(1, 8, 8, 4), "sizes"), 4)[0];

        Assert.Equal(2, found.Length);
        Assert.Equal(new RawDetection(1, found[0].Score, 7, 2, 19, 17), found[0]);
        Assert.Equal(1 / (1 + Math.Exp(-2)), found[0].Score, 1e-6);
        Assert.Equal(new RawDetection(0, found[1].Score, 0, 0, 31, 31), found[1]);

        void Put(int x, int y, int category, float logit, float left, float top, float right, float bottom)
        {
            logits[(y * 8 + x) * 2 + category] = logit;
            new[] { left, top, right, bottom }.CopyTo(sizes, 4 * (y * 8 + x));
        }
    }

    [Fact]
    public void BoxesComeBackToThePictureByTheScaleOfEachAxis()
    {
        Assert.Equal(new Box(20, 5, 41, 11), new RawDetection(0, 1, 10, 10, 20, 20).InPicture(128, 128, 256, 64));
        Assert.Equal(new Box(0, 0, 128, 128), new RawDetection(0, 1, 0, 0, 127, 127).InPicture(128, 128, 128, 128));
        Assert.Equal(new Box(0, 0, 256, 64), new RawDetection(0, 1, 0, 0, 127.9f, 127.9f).InPicture(128, 128, 256, 64));
    }

    [Fact]
    public void InputOfAnotherShapeIsRefusedByName()
    {
        using var device = new CpuDevice(1);
        var model = ModelCatalog.Create("ttfnet-nano", ["thing"]);
        using var scope = new StepScope(device, record: false);
        var wrong = Assert.Throws<TensorException>(() => model.Detect(scope.Rent(new Shape(1, 60, 64, 3), "images")));
        Assert.Contains("multiples of 32 but are f32[1,60,64,3]", wrong.Message);
    }

    [Fact]
    public void TargetsMustMatchTheBatch()
    {
        using var device = new CpuDevice(1);
        using var scope = new StepScope(device, record: true);
        var shape = new Shape(2, 8, 8, 1);
        Assert.Contains("each of 2 images", Assert.Throws<TensorException>(() => TtfGoal.Encode(scope, shape, new([[]], [[]]), 4, 0.54f)).Message);
        Assert.Contains("image 1 has 1 classes, so boxes expects 4 numbers but has 3",
            Assert.Throws<TensorException>(() => TtfGoal.Encode(scope, shape, new([[], [1, 2, 3]], [[], [0]]), 4, 0.54f)).Message);
    }

    private static string[] Names(int count) => [.. Enumerable.Range(0, count).Select(i => $"class {i}")];

    private static Tensor Pictures(StepScope scope, int count, int size)
    {
        var pixels = new byte[count * size * size * 3];
        var random = new CounterRandom(5);
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)random.At((ulong)i).Int(256);
        return ModelInput.Normalize(scope, pixels, count, size, size);
    }

    private static double Deviation(TensorView values)
    {
        double sum = 0;
        foreach (float value in values.AsFloats())
            sum += (double)value * value;
        return Math.Sqrt(sum / values.Length);
    }
}
