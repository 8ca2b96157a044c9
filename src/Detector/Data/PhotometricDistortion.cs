namespace CudaKernels.Detection;

/// <summary>
/// Changes brightness, contrast, saturation, hue and the order of the channels, each with probability one half (detectors.md 3.5).
/// Values are floats that are not clamped in between, as in the published code; the hue is in degrees.
/// </summary>
/// <remarks>
/// Order: brightness + U(-32, 32); contrast x U(0.5, 1.5) here or at the end, at random; saturation x U(0.5, 1.5) and hue + U(-18, 18)
/// in HSV; contrast if it was not before; a random order of the channels. HSV: V = max, S = (max - min) / |max|, H from the two other
/// channels. A channel order drawn for BGR is as random for RGB, and HSV does not care, so the picture stays RGB throughout.
/// </remarks>
internal static class PhotometricDistortion
{
    private static readonly int[][] Orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

    public static void Apply(WorkPicture picture, RandomStream random)
    {
        var brightness = random.Chance(0.5) ? (float)random.Uniform(-32, 32) : 0;
        var contrastFirst = random.Chance(0.5);
        var contrast = random.Chance(0.5) ? (float)random.Uniform(0.5, 1.5) : 1;
        var saturation = random.Chance(0.5) ? (float)random.Uniform(0.5, 1.5) : 1;
        var hue = random.Chance(0.5) ? (float)random.Uniform(-18, 18) : 0;
        var order = random.Chance(0.5) ? Orders[random.Int(Orders.Length)] : Orders[0];

        var pixels = picture.Pixels;
        var (before, after) = contrastFirst ? (contrast, 1f) : (1f, contrast);
        var turnsHue = saturation != 1 || hue != 0;
        Span<float> colour = stackalloc float[3];
        for (var i = 0; i < pixels.Length; i += 3)
        {
            for (var channel = 0; channel < 3; channel++) colour[channel] = (pixels[i + channel] + brightness) * before;
            if (turnsHue) ChangeHue(colour, saturation, hue);
            for (var channel = 0; channel < 3; channel++) pixels[i + channel] = colour[order[channel]] * after;
        }
    }

    /// <summary>One RGB colour through HSV: saturation is multiplied, the hue turned by degrees.</summary>
    internal static void ChangeHue(Span<float> colour, float saturation, float degrees)
    {
        var (r, g, b) = (colour[0], colour[1], colour[2]);
        var value = Math.Max(r, Math.Max(g, b));
        var range = value - Math.Min(r, Math.Min(g, b));
        var s = range / (Math.Abs(value) + 1.1920929e-7f) * saturation; // the smallest step of a float at 1, so that black stays black
        var sixth = range == 0 ? 0
            : value == r ? (g - b) / range
            : value == g ? (b - r) / range + 2
            : (r - g) / range + 4;
        sixth = (sixth + degrees / 60 + 12) % 6;
        colour[0] = Channel(5);
        colour[1] = Channel(3);
        colour[2] = Channel(1);

        // Each channel falls from V to V (1 - S) and back, two sixths of the circle later than the one before it.
        float Channel(int phase)
        {
            var k = (phase + sixth) % 6;
            return value - value * s * Math.Clamp(Math.Min(k, 4 - k), 0, 1);
        }
    }
}
