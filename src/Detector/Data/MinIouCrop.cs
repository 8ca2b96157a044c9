namespace CudaKernels.Detection;

/// <summary>
/// Crops a random patch (detectors.md 3.5). A mode is drawn: no crop, or a least IoU of 0.1, 0.3, 0.5, 0.7, 0.9 or 0. Up to 50 patches
/// are tried, sides U(0.3, 1) of the picture's, height to width within [0.5, 2]; one is taken if every box has at least that IoU with the
/// patch (the published code tests the smallest) and some box centre lies strictly inside. Boxes with their centre inside are kept
/// and clipped. After 50 failures a new mode is drawn.
/// </summary>
/// <remarks>
/// The published corner comes from NumPy's uniform with one argument, which means the range between 1 and picture side - patch side;
/// this is kept. The patch is (x1, y1, x2, y2) with x2, y2 exclusive as pixels, but counted as last pixels in the IoU, as published.
/// </remarks>
internal static class MinIouCrop
{
    private const double NoCrop = 1;
    private const double SmallestSide = 0.3;
    private const int Tries = 50;
    private static readonly double[] Modes = [NoCrop, 0.1, 0.3, 0.5, 0.7, 0.9, 0];

    public static void Apply(WorkPicture picture, RandomStream random)
    {
        if (picture.Boxes.Count == 0) return; // nothing to keep, so no patch would ever be taken
        while (true)
        {
            var minIou = Modes[random.Int(Modes.Length)];
            if (minIou == NoCrop) return;
            for (var attempt = 0; attempt < Tries; attempt++)
                if (TryCrop(picture, minIou, random)) return;
        }
    }

    private static bool TryCrop(WorkPicture picture, double minIou, RandomStream random)
    {
        var width = random.Uniform(SmallestSide * picture.Width, picture.Width);
        var height = random.Uniform(SmallestSide * picture.Height, picture.Height);
        if (height / width is < 0.5 or > 2) return false;
        var left = random.Uniform(picture.Width - width, 1);
        var top = random.Uniform(picture.Height - height, 1);
        int x1 = (int)left, y1 = (int)top, x2 = (int)(left + width), y2 = (int)(top + height);
        if (picture.Boxes.Exists(box => Iou(box, x1, y1, x2, y2) < minIou)) return false;

        var kept = picture.Boxes.FindAll(box => (box.X1 + box.X2) / 2 is var x && (box.Y1 + box.Y2) / 2 is var y && x > x1 && x < x2 && y > y1 && y < y2);
        if (kept.Count == 0) return false;
        picture.Boxes = kept.ConvertAll(box => new PixelBox(
            Math.Max(box.X1, x1) - x1, Math.Max(box.Y1, y1) - y1, Math.Min(box.X2, x2) - x1, Math.Min(box.Y2, y2) - y1, box.Class));
        picture.Left += x1;
        picture.Top += y1;
        (picture.Width, picture.Height) = (x2 - x1, y2 - y1);
        return true;
    }

    private static double Iou(PixelBox box, int x1, int y1, int x2, int y2)
    {
        var width = Math.Max(0, Math.Min(box.X2, x2) - Math.Max(box.X1, x1) + 1);
        var height = Math.Max(0, Math.Min(box.Y2, y2) - Math.Max(box.Y1, y1) + 1);
        var intersection = (double)width * height;
        var boxArea = (double)(box.X2 - box.X1 + 1) * (box.Y2 - box.Y1 + 1);
        return intersection / (boxArea + (double)(x2 - x1 + 1) * (y2 - y1 + 1) - intersection);
    }
}
