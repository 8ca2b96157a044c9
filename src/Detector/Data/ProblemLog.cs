namespace CudaKernels.Detection;

/// <summary>Something wrong with a data set.</summary>
/// <param name="Fatal">Whether the data set can be used before it is mended.</param>
/// <param name="Path">The file.</param>
/// <param name="Place">Line, key or entry within the file; empty when it is the file as a whole.</param>
/// <param name="Message">What is wrong.</param>
internal sealed record DataProblem(bool Fatal, string Path, string Place, string Message)
{
    public override string ToString() => Place.Length == 0 ? $"{Path}: {Message}" : $"{Path}: {Place}: {Message}";
}

/// <summary>
/// Where the readers of data sets report. Normally the first fatal problem throws and blemishes pass silently; a collecting log
/// (for `data check`) notes everything and lets the reader go on without the faulty entry.
/// </summary>
/// <remarks>
/// Fatal: whatever cannot be understood or is certainly not meant: malformed files, missing keys, unknown classes or pictures,
/// duplicate ids, absent pictures, NaN, negative sizes, boxes wholly outside their picture, a picture of another size than annotated,
/// an empty data set. Blemishes: what published data really contains and training can live with: boxes partly outside (clipped),
/// boxes under one pixel (left out), pictures without objects (left out of training).
/// </remarks>
internal sealed class ProblemLog(bool collect = false)
{
    private readonly List<DataProblem> problems = [];
    private readonly HashSet<DataProblem> known = []; // a file may be read once for every split

    /// <summary>Everything noted so far.</summary>
    public IReadOnlyList<DataProblem> Problems => problems;

    /// <summary>A problem that forbids using the entry; returns only when collecting.</summary>
    /// <exception cref="DataException">Not collecting.</exception>
    public void Fatal(string path, string place, string message)
    {
        var problem = new DataProblem(true, path, place, message);
        if (!collect) throw new DataException(problem.ToString());
        Add(problem);
    }

    /// <summary>A problem that training can live with.</summary>
    public void Blemish(string path, string place, string message)
    {
        if (collect) Add(new DataProblem(false, path, place, message));
    }

    /// <summary>Applies the rules for boxes; true when the box may be kept.</summary>
    public bool Accepts(Box box, int width, int height, string path, string place)
    {
        const double rounding = 0.1; // published coordinates are rounded to a hundredth or to six digits of the picture's width
        if (!double.IsFinite(box.X1) || !double.IsFinite(box.Y1) || !double.IsFinite(box.X2) || !double.IsFinite(box.Y2))
            Fatal(path, place, $"the box has a coordinate that is no finite number: {box}");
        else if (box.Width < 0 || box.Height < 0)
            Fatal(path, place, FormattableString.Invariant($"the box has negative size {box.Width:0.##} x {box.Height:0.##}"));
        else if (box.X2 < 0 || box.Y2 < 0 || box.X1 > width || box.Y1 > height || (box.Area > 0 && (box.X2 <= 0 || box.Y2 <= 0 || box.X1 >= width || box.Y1 >= height)))
            Fatal(path, place, $"the box {box} lies outside the picture of {width}x{height}");
        else
        {
            if (box.Width <= 1 || box.Height <= 1)
                Blemish(path, place, FormattableString.Invariant($"the box is only {box.Width:0.##} x {box.Height:0.##} pixels (training leaves out what is below 1)"));
            else if (box.X1 < -rounding || box.Y1 < -rounding || box.X2 > width + rounding || box.Y2 > height + rounding)
                Blemish(path, place, $"the box {box} reaches over the edge of the picture of {width}x{height}; training clips it");
            return true;
        }

        return false;
    }

    private void Add(DataProblem problem)
    {
        if (known.Add(problem)) problems.Add(problem);
    }
}
