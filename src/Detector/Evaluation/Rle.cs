using System.Text;

namespace CudaKernels.Detection;

/// A binary mask as run lengths over columns (pixel x, y is number x*height + y): counts of zeros and ones in turn, zeros first,
/// so that only the first count may be 0. Specification 9.3; the string form is the one of COCO files.
internal sealed class Rle
{
    private readonly Lazy<(long Left, long Top, long Width, long Height)> bounds;

    /// Counts must add up to height*width; runs of length 0 after the first are merged away.
    public Rle(int height, int width, IReadOnlyList<long> counts)
    {
        if (height < 0 || width < 0) throw new FormatException($"a mask cannot be {width}x{height}");
        Height = height;
        Width = width;
        var builder = new RunBuilder(counts.Count);
        for (var i = 0; i < counts.Count; i++)
        {
            if (counts[i] < 0 || counts[i] > (long)height * width)
                throw new FormatException($"count {i} of the {width}x{height} run-length mask is {counts[i]}; 0 to {(long)height * width} is possible");
            builder.Add(i % 2 == 1, counts[i]);
        }
        Counts = builder.ToCounts();
        var total = Counts.Sum();
        if (total != (long)height * width)
            throw new FormatException($"the counts of a {width}x{height} run-length mask must add up to {(long)height * width} pixels, these add up to {total}");
        for (var i = 1; i < Counts.Count; i += 2) Area += Counts[i];
        bounds = new(FindBounds);
    }

    public int Height { get; }

    public int Width { get; }

    public IReadOnlyList<long> Counts { get; }

    /// Number of ones.
    public long Area { get; }

    /// Left, top, width and height of the box around the ones; all 0 when there are none.
    public (long Left, long Top, long Width, long Height) Bounds => bounds.Value;

    /// Decodes the string form: 5-bit groups, low first, each plus 48 as a character; bit 5 says that more follow, bit 4 of the last
    /// group is the sign; from the fourth count on the difference to the count two before is stored.
    public static Rle Parse(string text, int height, int width)
    {
        var counts = new List<long>();
        for (var at = 0; at < text.Length;)
        {
            long value = 0;
            int group, shift = 0;
            do
            {
                if (at == text.Length) throw new FormatException("the run-length string ends inside a number");
                group = text[at++] - 48;
                if (group is < 0 or > 63) throw new FormatException($"the run-length string has the character '{text[at - 1]}' at {at - 1}, which is not part of the format");
                if (shift > 55) throw new FormatException($"the run-length string has a number that is too long at {at - 1}");
                value |= (long)(group & 31) << shift;
                shift += 5;
            }
            while ((group & 32) != 0);
            if ((group & 16) != 0) value |= -1L << shift;
            counts.Add(counts.Count > 2 ? value + counts[^2] : value);
        }
        return new Rle(height, width, counts);
    }

    /// The string form, see Parse.
    public override string ToString()
    {
        var text = new StringBuilder();
        for (var i = 0; i < Counts.Count; i++)
        {
            var value = i > 2 ? Counts[i] - Counts[i - 2] : Counts[i];
            bool more;
            do
            {
                var group = (int)(value & 31);
                value >>= 5;
                more = (group & 16) != 0 ? value != -1 : value != 0;
                text.Append((char)(48 + (more ? group | 32 : group)));
            }
            while (more);
        }
        return text.ToString();
    }

    /// The mask of a box x, y, width, height: its corners as a polygon.
    public static Rle FromBox(double x, double y, double boxWidth, double boxHeight, int height, int width) => PolygonRasterizer.ToRle(
        [x, y, x, y + boxHeight, x + boxWidth, y + boxHeight, x + boxWidth, y], height, width);

    public static Rle Union(IReadOnlyList<Rle> masks, int height, int width) =>
        masks.Count == 0 ? new Rle(height, width, [(long)height * width]) : masks.Aggregate((a, b) => Combine(a, b, (x, y) => x || y));

    public static Rle Intersection(Rle a, Rle b) => Combine(a, b, (x, y) => x && y);

    /// Intersection over union; over the detection's area when the object is a crowd.
    public static double Overlap(Rle detection, Rle found, bool crowd)
    {
        CheckSameSize(detection, found);
        var (left, top, width, height) = detection.Bounds;
        var other = found.Bounds;
        if (left >= other.Left + other.Width || other.Left >= left + width || top >= other.Top + other.Height || other.Top >= top + height) return 0;
        long intersection = 0;
        Walk(detection, found, (a, b, length) => intersection += a && b ? length : 0);
        if (intersection == 0) return 0;
        return (double)intersection / (crowd ? detection.Area : detection.Area + found.Area - intersection);
    }

    private static Rle Combine(Rle a, Rle b, Func<bool, bool, bool> rule)
    {
        CheckSameSize(a, b);
        var builder = new RunBuilder(a.Counts.Count + b.Counts.Count);
        Walk(a, b, (x, y, length) => builder.Add(rule(x, y), length));
        return new Rle(a.Height, a.Width, builder.ToCounts());
    }

    /// Both masks side by side: the values of each stretch in which neither changes.
    private static void Walk(Rle a, Rle b, Action<bool, bool, long> visit)
    {
        int runA = 0, runB = 0;
        long leftA = a.Counts[0], leftB = b.Counts[0];
        while (true)
        {
            while (leftA == 0 && ++runA < a.Counts.Count) leftA = a.Counts[runA];
            while (leftB == 0 && ++runB < b.Counts.Count) leftB = b.Counts[runB];
            if (runA >= a.Counts.Count || runB >= b.Counts.Count) return;
            var length = Math.Min(leftA, leftB);
            visit(runA % 2 == 1, runB % 2 == 1, length);
            leftA -= length;
            leftB -= length;
        }
    }

    private static void CheckSameSize(Rle a, Rle b)
    {
        if (a.Height != b.Height || a.Width != b.Width)
            throw new FormatException($"masks of one image differ in size: {a.Width}x{a.Height} and {b.Width}x{b.Height}");
    }

    private (long, long, long, long) FindBounds()
    {
        long left = Width, top = Height, right = -1, bottom = -1, end = 0;
        for (var i = 0; i < Counts.Count; i++)
        {
            var start = end;
            end += Counts[i];
            if (i % 2 == 0) continue;
            var (firstColumn, firstRow) = Math.DivRem(start, Height);
            var (lastColumn, lastRow) = Math.DivRem(end - 1, Height);
            left = Math.Min(left, firstColumn);
            right = Math.Max(right, lastColumn);
            var spansColumns = lastColumn > firstColumn;
            top = spansColumns ? 0 : Math.Min(top, firstRow);
            bottom = spansColumns ? Height - 1 : Math.Max(bottom, lastRow);
        }
        return right < 0 ? (0, 0, 0, 0) : (left, top, right - left + 1, bottom - top + 1);
    }

    /// Collects stretches of equal value into alternating counts.
    private sealed class RunBuilder(int capacity)
    {
        private readonly List<long> counts = new(capacity + 1) { 0 };

        public void Add(bool value, long length)
        {
            if (length == 0) return;
            if (counts.Count % 2 == 0 == value) counts[^1] += length;
            else counts.Add(length);
        }

        public List<long> ToCounts() => counts;
    }
}
