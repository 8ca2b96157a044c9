namespace CudaKernels.Detection;

/// <summary>
/// What of a data set is trained on (detectors.md 3.2). Left out are crowds and difficult objects (ignored, not background's fault:
/// TTFNet uses no ignore list), area 0, and boxes whose part inside the picture is under one pixel wide or high; then pictures
/// without any box left and pictures with a side under 32 pixels.
/// </summary>
internal static class DataFilter
{
    private const int MinSide = 32;

    /// <summary>The boxes to train on, clipped to the picture.</summary>
    public static PixelBox[] Boxes(Sample sample)
    {
        var boxes = new List<PixelBox>(sample.Objects.Count);
        foreach (var found in sample.Objects)
        {
            if (found.Crowd || found.Difficult || found.Area <= 0) continue;
            var box = found.Box.Clip(sample.Width, sample.Height);
            if (box.Width >= 1 && box.Height >= 1) boxes.Add(PixelBox.From(box, found.Class));
        }

        return [.. boxes];
    }

    /// <summary>The pictures to train on, as indices into the data set in its order.</summary>
    /// <exception cref="DataException">None is left.</exception>
    public static int[] Pictures(IDataset dataset)
    {
        int[] kept = [.. Enumerable.Range(0, dataset.Count).Where(index => Keeps(dataset.Read(index)))];
        return kept.Length > 0
            ? kept
            : throw new DataException($"{dataset.Name}: none of the {dataset.Count} pictures can be trained on: they have no usable object or a side under {MinSide} pixels");
    }

    private static bool Keeps(Sample sample) => Math.Min(sample.Width, sample.Height) >= MinSide && Boxes(sample).Length > 0;
}
