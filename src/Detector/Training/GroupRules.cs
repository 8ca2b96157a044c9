using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>Which parameters learn faster or do not decay (detectors.md 1.2).</summary>
internal static class GroupRules
{
    /// <summary>
    /// TTFNet: biases learn at twice the rate without decay. Batch norm under the names bn1, bn2, ... keeps rate and decay; the
    /// others (in the upsampling path and downsample.1) fall under the rule for biases, as in the published code.
    /// </summary>
    public static IReadOnlyList<GroupRule> Ttfnet { get; } =
    [
        new(@"(bn|gn)\d*\.(weight|bias)$", RateFactor: 1, DecayFactor: 1),
        new(@"bias$", RateFactor: 2, DecayFactor: 0),
    ];
}
