using Xunit;

namespace CudaKernels.Tests;

/// <summary>Every operator of the golden references either has its test or is skipped by name: nothing is left out in silence.</summary>
public sealed class GoldenCoverageTests
{
    /// <summary>Operators whose cases the other test classes run.</summary>
    private static readonly HashSet<string> Covered =
    [
        "activation", "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "batched_nms", "bce_with_logits", "clip_grad_norm", "conv2d", "conv_transpose2d", "cross_entropy", "deform_conv2d",
        "ema", "giou_loss", "group_norm", "interpolate", "l1_loss", "linear", "lr_schedule", "max_pool2d", "nms", "optimizer", "roi_align", "sigmoid_focal_loss", "smooth_l1", "sync_batch_norm",
    ];

    public static TheoryData<string> Operators() => GoldenFolder.Exists
        ? [.. Directory.GetDirectories(Path.Combine(GoldenFolder.Path, "ops")).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)]
        : ["(none)"];

    [Theory]
    [MemberData(nameof(Operators))]
    public void IsRunOrNamed(string name)
    {
        GoldenFolder.Require();
        if (!Covered.Contains(name))
            Assert.Skip($"the project has no operator {name}: its {GoldenFolder.Cases(name).Count} golden cases are left out");
        Assert.NotEmpty(GoldenFolder.Cases(name));
    }
}
