using System.Globalization;

namespace CudaKernels.Detection;

/// A box to draw: its class picks the colour; a score, where there is one, stands behind the label.
internal sealed record PictureBox(Box Box, int ClassIndex, string Label, double? Score = null);

/// Boxes drawn over a picture: outlines in the class's colour with a dark edge, and a filled tag with label and score. Line width and
/// text size follow the picture's size. A tag stays inside the picture and evades other tags and small boxes; where a crowd leaves no
/// room, the less sure box goes without a tag rather than making two unreadable.
internal static class AnnotatedPicture
{
    private const double SmallestText = 10;

    /// Share of a tag that may lie over other tags: less than its padding, so that no letter is hidden.
    private const double AllowedCover = 0.03;

    private static readonly Color Edge = new(0, 0, 0, 120);

    public static ImageBuffer Draw(ImageBuffer image, IReadOnlyList<PictureBox> boxes)
    {
        using var canvas = new Canvas(image);
        var shorter = Math.Min(image.Width, image.Height);
        var lineWidth = shorter < 80 ? 1 : Math.Max(2, (int)Math.Round(shorter / 250.0));
        var textSize = Math.Clamp(shorter / 32.0, SmallestText, 48);

        // The surest box is drawn last, on top, but is the first to choose the place of its tag.
        var bySureness = boxes.OrderByDescending(box => box.Score ?? 1).ToList();
        var tags = new List<Tag>();
        foreach (var box in bySureness)
            if (Place(box, bySureness, image.Width, image.Height, textSize, tags) is { } tag) tags.Add(tag);
        for (var i = bySureness.Count - 1; i >= 0; i--) DrawOutline(canvas, bySureness[i], lineWidth);
        foreach (var tag in tags) DrawTag(canvas, tag);
        return canvas.ToImage();
    }

    private sealed record Tag(double X, double Y, double Width, double Height, string Text, double TextSize, Color Color)
    {
        public double Cover(double x1, double y1, double x2, double y2) =>
            Math.Max(0, Math.Min(X + Width, x2) - Math.Max(X, x1)) * Math.Max(0, Math.Min(Y + Height, y2) - Math.Max(Y, y1));

        public double Cover(Tag other) => Cover(other.X, other.Y, other.X + other.Width, other.Y + other.Height);

        public double Area => Width * Height;
    }

    private static void DrawOutline(Canvas canvas, PictureBox item, int lineWidth)
    {
        // Whole pixels give crisp lines; lines are centred on their path, so half a line inside the picture keeps those at its border.
        var half = lineWidth / 2.0;
        var x1 = Math.Clamp(Math.Round(item.Box.X1) + half, half, canvas.Width - half);
        var y1 = Math.Clamp(Math.Round(item.Box.Y1) + half, half, canvas.Height - half);
        var x2 = Math.Clamp(Math.Round(item.Box.X2) - half, half, canvas.Width - half);
        var y2 = Math.Clamp(Math.Round(item.Box.Y2) - half, half, canvas.Height - half);
        canvas.Rectangle(x1, y1, x2, y2, Edge, lineWidth + 2);
        canvas.Rectangle(x1, y1, x2, y2, Color.OfClass(item.ClassIndex), lineWidth);
    }

    private static void DrawTag(Canvas canvas, Tag tag)
    {
        canvas.FillRectangle(tag.X, tag.Y, tag.X + tag.Width, tag.Y + tag.Height, tag.Color);
        canvas.Text(
            tag.Text, tag.X + tag.Width / 2, tag.Y + tag.Height / 2, tag.TextSize, tag.Color.ReadableText(), HorizontalAnchor.Center, VerticalAnchor.Middle);
    }

    /// The best place around or inside the box, first with the text size of the picture, then with the smallest; null when every place
    /// lies over another tag.
    private static Tag? Place(
        PictureBox item, List<PictureBox> all, int width, int height, double textSize, List<Tag> placed)
    {
        // Small boxes get small text at once, or their tags would hide them and their neighbours.
        var fitting = Math.Clamp(Math.Max(item.Box.Height, item.Box.Width) * 0.35, SmallestText, textSize);
        foreach (var size in new[] { fitting, SmallestText }.Distinct())
        {
            Tag? best = null;
            var bestCost = double.PositiveInfinity;
            foreach (var tag in Candidates(item, width, height, size))
            {
                if (placed.Sum(tag.Cover) > AllowedCover * tag.Area) continue;
                var cost = all.Where(other => other != item && other.Box.Area < 6 * tag.Area)
                    .Sum(other => tag.Cover(other.Box.X1, other.Box.Y1, other.Box.X2, other.Box.Y2));
                if (cost < bestCost) (best, bestCost) = (tag, cost);
                if (cost == 0) break;
            }
            if (best is not null) return best;
        }
        return null;
    }

    /// In order of preference: above the box, inside its top (when large enough), below, right, left; moved sideways into the picture.
    private static IEnumerable<Tag> Candidates(PictureBox item, int width, int height, double textSize)
    {
        var text = item.Score is { } score ? $"{item.Label} {score.ToString("0.00", CultureInfo.InvariantCulture)}" : item.Label;
        text = Canvas.Shorten(text, textSize, width - Padding(textSize) - 1);
        var (textWidth, textHeight) = Canvas.Measure(text, textSize);
        var (tagWidth, tagHeight) = (Math.Ceiling(textWidth + Padding(textSize)), Math.Ceiling(textHeight + 1));
        var (x1, y1, x2, y2) = (Math.Round(item.Box.X1), Math.Round(item.Box.Y1), Math.Round(item.Box.X2), Math.Round(item.Box.Y2));
        var places = new List<(double X, double Y)> { (x1, y1 - tagHeight), (x2 - tagWidth, y1 - tagHeight) };
        if (item.Box.Height > 2 * tagHeight) places.AddRange([(x1, y1), (x2 - tagWidth, y1), (x1, y2 - tagHeight)]);
        places.AddRange([(x1, y2), (x2 - tagWidth, y2), (x2, y1), (x1 - tagWidth, y1)]);
        if (!places.Any(place => IsInside(place.Y))) places = [(x1, Math.Clamp(y1, 0, Math.Max(0, height - tagHeight)))];
        return places.Where(place => places.Count == 1 || IsInside(place.Y)).Select(place => new Tag(
            Math.Clamp(place.X, 0, Math.Max(0, width - tagWidth)), place.Y, tagWidth, tagHeight, text, textSize, Color.OfClass(item.ClassIndex)));

        bool IsInside(double y) => y >= 0 && y + tagHeight <= height;
    }

    private static double Padding(double textSize) => 0.6 * textSize;
}
