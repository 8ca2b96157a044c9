namespace CudaKernels.Detection;

/// <summary>The numbers that tell one ResNet from another.</summary>
/// <param name="Stem">Channels of the first convolution.</param>
/// <param name="Planes">Width of each stage; bottlenecks put out four times as many channels.</param>
/// <param name="Blocks">Residual blocks of each stage.</param>
/// <param name="Bottleneck">Blocks of three convolutions instead of two.</param>
internal sealed record ResNetPlan(int Stem, int[] Planes, int[] Blocks, bool Bottleneck)
{
    /// <param name="depth">18, 34, 50 or 101.</param>
    /// <param name="divisor">Every width is divided by it.</param>
    public static ResNetPlan Of(int depth, int divisor = 1)
    {
        (int[] blocks, bool bottleneck) = depth switch
        {
            18 => (new[] { 2, 2, 2, 2 }, false),
            34 => ([3, 4, 6, 3], false),
            50 => ([3, 4, 6, 3], true),
            101 => ([3, 4, 23, 3], true),
            _ => throw new ArgumentOutOfRangeException(nameof(depth), depth, "ResNet: depth expects 18, 34, 50 or 101"),
        };
        return new(64 / divisor, [64 / divisor, 128 / divisor, 256 / divisor, 512 / divisor], blocks, bottleneck);
    }
}
