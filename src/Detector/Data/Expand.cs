namespace CudaKernels.Detection;

/// <summary>
/// With probability one half puts the picture at a random place on a canvas of the mean colour, 1 to 4 times as large (detectors.md
/// 3.5): objects become smaller.
/// </summary>
internal static class Expand
{
    private const double Probability = 0.5;
    private const double LargestRatio = 4;

    public static void Apply(WorkPicture picture, RandomStream random)
    {
        if (!random.Chance(Probability)) return;
        var ratio = random.Uniform(1, LargestRatio);
        var left = (int)random.Uniform(0, picture.Width * ratio - picture.Width);
        var top = (int)random.Uniform(0, picture.Height * ratio - picture.Height);
        picture.Left -= left;
        picture.Top -= top;
        (picture.Width, picture.Height) = ((int)(picture.Width * ratio), (int)(picture.Height * ratio));
        for (var i = 0; i < picture.Boxes.Count; i++) picture.Boxes[i] = picture.Boxes[i].Move(-left, -top);
    }
}
