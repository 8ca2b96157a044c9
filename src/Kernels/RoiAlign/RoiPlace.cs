namespace CudaKernels.Kernels;

/// <summary>What both paths must know to place RoIs on an activation (N,H,W,C) and cut them into bins.</summary>
internal readonly record struct RoiGrid(int Batch, int Height, int Width, int Channels, int BinsDown, int BinsAcross, float Scale, int SamplingRatio, int Aligned)
{
    public static RoiGrid Of(Shape x, Shape y, RoiAlignRule rule) =>
        new(x[0], x[1], x[2], x[3], y[1], y[2], rule.Scale, Math.Max(0, rule.SamplingRatio), rule.Aligned ? 1 : 0);

    /// <summary>Bins of a RoI.</summary>
    public int Bins => BinsDown * BinsAcross;
}

/// <summary>
/// A RoI on the activation. One whose numbers are not finite or whose image is not of the batch has no samples and a share that is no number: its
/// output shows it, and no gradient flows from it.
/// </summary>
internal readonly record struct RoiPlace(int Image, RoiAxis Rows, RoiAxis Columns)
{
    /// <summary>1 / samples of a bin; a box turned inside out, where it has no samples, leaves 0.</summary>
    public float Share => Image < 0 ? float.NaN : 1f / Math.Max(1, (float)Rows.Samples * Columns.Samples);

    public static RoiPlace At(float image, float x1, float y1, float x2, float y2, RoiGrid grid)
    {
        RoiAxis rows = RoiAxis.Of(y1, y2, grid, grid.BinsDown, grid.Height), columns = RoiAxis.Of(x1, x2, grid, grid.BinsAcross, grid.Width);
        bool finite = RoiAxis.IsFinite(y1) && RoiAxis.IsFinite(y2) && RoiAxis.IsFinite(x1) && RoiAxis.IsFinite(x2) && RoiAxis.IsFinite(image);
        if (!finite || image < 0 || image >= grid.Batch)
            return new(-1, new(0, 0, 0, grid.BinsDown, grid.Height), new(0, 0, 0, grid.BinsAcross, grid.Width));
        return new((int)image, rows, columns);
    }
}

/// <summary>How RoIAlign samples.</summary>
/// <param name="Scale">Activation pixels for a pixel of the picture the boxes are given in.</param>
/// <param name="SamplingRatio">Samples of a bin on each axis; 0: ⌈bin⌉ of them, each RoI its own.</param>
/// <param name="Aligned">Pixel centres lie at half numbers of the box's axes; without, everything lies half a pixel further and boxes are at least a pixel wide.</param>
internal readonly record struct RoiAlignRule(float Scale, int SamplingRatio = 0, bool Aligned = true)
{
    /// <summary>x (N,H,W,C), rois (K,5) of image and x1, y1, x2, y2, y (K, bins down, bins across, C).</summary>
    public void Validate(string operation, string xName, TensorView x, TensorView rois, string yName, TensorView y)
    {
        Check.Rank(operation, xName, x, 4);
        Check.Rank(operation, "rois", rois, 2);
        Check.That(rois.Shape[1] == 5, operation, "rois", "f32[K,5] of image, x1, y1, x2, y2", rois);
        Check.Rank(operation, yName, y, 4);
        Check.That(y.Shape[0] == rois.Shape[0] && y.Shape[1] > 0 && y.Shape[2] > 0 && y.Shape[3] == x.Shape[3], operation, yName,
            $"f32[{rois.Shape[0]},bins,bins,{x.Shape[3]}]", y);
        Check.That(x.Shape[1] > 0 && x.Shape[2] > 0, operation, xName, "at least one pixel", x);
        Check.That(Scale > 0 && float.IsFinite(Scale), operation, "scale", "a number > 0", Scale);
        Check.Apart(operation, xName, x, yName, y);
        Check.Apart(operation, xName, x, "rois", rois);
        Check.Apart(operation, yName, y, "rois", rois);
    }
}
