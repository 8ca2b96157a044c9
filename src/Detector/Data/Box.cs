namespace CudaKernels.Detection;

/// <summary>
/// A box in continuous pixel coordinates: pixel column i covers [i, i + 1), so the box of the single pixel (0, 0) is (0, 0, 1, 1)
/// and a whole picture is (0, 0, width, height). Width is <c>X2 - X1</c>, with no + 1 anywhere.
/// </summary>
/// <param name="X1">Left edge.</param>
/// <param name="Y1">Top edge.</param>
/// <param name="X2">Right edge.</param>
/// <param name="Y2">Bottom edge.</param>
public readonly record struct Box(double X1, double Y1, double X2, double Y2)
{
    /// <summary>X2 - X1.</summary>
    public double Width => X2 - X1;

    /// <summary>Y2 - Y1.</summary>
    public double Height => Y2 - Y1;

    /// <summary>Width times height.</summary>
    public double Area => Width * Height;

    /// <summary>The part inside a picture of the given size; may have no area.</summary>
    /// <param name="width">Columns of the picture.</param>
    /// <param name="height">Rows of the picture.</param>
    public Box Clip(double width, double height) => new(
        Math.Clamp(X1, 0, width), Math.Clamp(Y1, 0, height), Math.Clamp(X2, 0, width), Math.Clamp(Y2, 0, height));

    /// <summary>"(x1, y1, x2, y2)" with one decimal.</summary>
    public override string ToString() => FormattableString.Invariant($"({X1:0.#}, {Y1:0.#}, {X2:0.#}, {Y2:0.#})");
}
