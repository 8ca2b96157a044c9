using System.Text.Json;
using CudaKernels.Cli;
using CudaKernels.Kernels.Devices;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Every operation that the lists shared with the peers name, at a small size: it runs, twice, and gives its memory back.</summary>
public sealed class BenchOperationTests
{
    private const string Small = """
        {"cases": [
        {"case": "a", "op": "conv2d_forward", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
        {"case": "b", "op": "conv2d_backward", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
        {"case": "c", "op": "conv2d_backward_weight", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
        {"case": "d", "op": "batch_norm_train", "n": 2, "cin": 8, "h": 6, "w": 6},
        {"case": "e", "op": "group_norm_train", "n": 2, "cin": 8, "h": 6, "w": 6, "groups": 4},
        {"case": "f", "op": "conv_bn_relu_train", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
        {"case": "g", "op": "max_pool_train", "n": 1, "cin": 4, "h": 8, "w": 8, "kernel": 3, "stride": 2, "padding": 1},
        {"case": "h", "op": "upsample_bilinear_train", "n": 1, "cin": 4, "h": 8, "w": 8, "scale": 2},
        {"case": "i", "op": "heatmap_focal_loss_train", "n": 1, "cin": 4, "h": 8, "w": 8},
        {"case": "j", "op": "sgd_momentum_step", "parameters": 1000},
        {"case": "k", "op": "deform_conv2d_train", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
        {"case": "l", "op": "roi_align_train", "n": 2, "cin": 4, "h": 16, "w": 20, "rois": 9, "pooled": 3, "scale": 0.25, "sampling_ratio": 2},
        {"case": "m", "op": "nms", "boxes": 100, "iou": 0.5},
        {"case": "n", "op": "resnet18_forward", "n": 1, "h": 32, "w": 32},
        {"case": "o", "op": "resnet18_train_step", "n": 2, "h": 32, "w": 32},
        {"case": "p", "op": "resnet50_train_step", "n": 2, "h": 32, "w": 32},
        {"case": "q", "op": "centernet18_plain_train_step", "n": 2, "h": 32, "w": 32, "classes": 3}]}
        """;

    [Fact]
    public void EachRunsAndReturnsItsMemory()
    {
        using var folder = new TempFolder();
        using var device = new CpuDevice(2);
        foreach (var work in BenchCase.ReadFile(folder.Write("cases.json", Small), sentence => Assert.Fail(sentence)))
        {
            using (var tensors = new BenchTensors(device))
            {
                var run = BenchCommand.Prepare(work, tensors);
                Assert.True(run is not null, $"no operation {work.Operation}");
                long live = device.Pool.LiveBytes;
                run();
                run();
                Assert.True(device.Pool.LiveBytes == live, $"{work.Operation} keeps {device.Pool.LiveBytes - live} bytes a repetition");
            }
            Assert.True(device.Pool.LiveBytes == 0, $"{work.Operation} keeps {device.Pool.LiveBytes} bytes");
        }
    }

    [Fact]
    public void ItsPeakHoldsMoreThanItsInputsAndGrowsWithTheBatch()
    {
        using var folder = new TempFolder();
        using var device = new CpuDevice(2);
        var peaks = BenchCase.ReadFile(folder.Write("cases.json", """
            {"cases": [{"case": "one", "op": "resnet18_train_step", "n": 2, "h": 32, "w": 32}, {"case": "four", "op": "resnet18_train_step", "n": 8, "h": 32, "w": 32}]}
            """), sentence => Assert.Fail(sentence)).Select(work =>
            {
                using var inputs = new RotatingInputs(work, device);
                return inputs.PeakBytes;
            }).ToArray();
        const long parameters = 11_689_512L * sizeof(float); // ResNet-18: weights, gradients, momentum
        Assert.InRange(peaks[0], 3 * parameters, 5 * parameters);
        Assert.True(peaks[1] > peaks[0], $"{peaks[1]} bytes for the large batch, {peaks[0]} for the small one");
    }

    [Theory]
    [InlineData("cases.json")]
    [InlineData("cases-gpu.json")]
    public void NoneOfThePeersCasesIsLeftOut(string name)
    {
        string path = Path.Combine(GoldenFolder.Path, "..", "peers", name);
        if (!File.Exists(path))
            Assert.Skip($"the list shared with the peers is absent: no file {path}");
        using var small = JsonDocument.Parse(Small);
        using var shared = JsonDocument.Parse(File.ReadAllText(path));
        Assert.Empty(Operations(shared).Except(Operations(small)));

        static IEnumerable<string> Operations(JsonDocument document) =>
            document.RootElement.GetProperty("cases").EnumerateArray().Select(c => c.GetProperty("op").GetString()!).Distinct();
    }
}
