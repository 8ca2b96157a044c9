namespace CudaKernels.Detection;

/// One line; points in ascending x. A point whose y is not finite is a gap.
internal sealed record ChartSeries(string Name, IReadOnlyList<(double X, double Y)> Points, Color? Color = null, double Width = 2);

/// One coordinate system. Ranges that are null follow the data.
internal sealed record ChartPanel(string Title, string XLabel, string YLabel, IReadOnlyList<ChartSeries> Series)
{
    public (double Low, double High)? XRange { get; init; }

    public (double Low, double High)? YRange { get; init; }

    /// x counts something (steps, epochs), so ticks are whole numbers.
    public bool WholeX { get; init; }
}

/// Line charts side by side on one picture: axes with round ticks, grid, title and, where there are several lines, a legend.
internal static class LineChart
{
    private const double TextSize = 13;
    private const double TitleSize = 16;
    private const double Margin = 14;

    private static readonly Color Ink = new(40, 40, 40);
    private static readonly Color Frame = new(150, 150, 150);
    private static readonly Color Grid = new(228, 228, 228);

    /// Two panels a row; one panel alone gets the whole picture.
    public static ImageBuffer Draw(IReadOnlyList<ChartPanel> panels, int panelWidth = 640, int panelHeight = 400)
    {
        if (panels.Count == 0) throw new ArgumentException("LineChart: at least one panel is needed", nameof(panels));
        var columns = Math.Min(panels.Count, 2);
        var rows = (panels.Count + columns - 1) / columns;
        using var canvas = new Canvas(columns * panelWidth, rows * panelHeight, Color.White);
        for (var i = 0; i < panels.Count; i++) DrawPanel(canvas, panels[i], i % columns * panelWidth, i / columns * panelHeight, panelWidth, panelHeight);
        return canvas.ToImage();
    }

    /// The rectangle of the data on the picture and its ranges.
    private sealed record Plot(double Left, double Top, double Right, double Bottom, NiceTicks XTicks, NiceTicks YTicks)
    {
        public double X(double value) => Left + (value - XTicks.Low) / (XTicks.High - XTicks.Low) * (Right - Left);

        public double Y(double value) => Bottom - (value - YTicks.Low) / (YTicks.High - YTicks.Low) * (Bottom - Top);
    }

    private static void DrawPanel(Canvas canvas, ChartPanel panel, double left, double top, double width, double height)
    {
        var points = panel.Series.SelectMany(series => series.Points).Where(point => double.IsFinite(point.X) && double.IsFinite(point.Y)).ToList();
        var yTicks = Ticks(panel.YRange, points.Select(point => point.Y), (height - 100) / 45, whole: false);
        var xTicks = Ticks(panel.XRange, points.Select(point => point.X), (width - 120) / 70, panel.WholeX);
        var lineHeight = Canvas.Measure("0", TextSize).Height;
        var tickWidth = yTicks.Values.Max(value => Canvas.Measure(yTicks.Format(value), TextSize).Width);
        var legend = panel.Series.Where(series => series.Name.Length > 0).ToList();
        var legendWidth = legend.Count > 1 ? Math.Min(width / 3, 30 + legend.Max(series => Canvas.Measure(series.Name, TextSize).Width)) : 0;
        var plot = new Plot(
            left + Margin + lineHeight + 6 + tickWidth + 8,
            top + Margin + Canvas.Measure("0", TitleSize).Height + 8,
            left + width - Margin - Canvas.Measure(xTicks.Format(xTicks.High), TextSize).Width / 2 - (legendWidth > 0 ? legendWidth + 8 : 0),
            top + height - Margin - 2 * lineHeight - 10,
            xTicks, yTicks);

        DrawAxes(canvas, plot);
        canvas.Text(panel.Title, (plot.Left + plot.Right) / 2, top + Margin, TitleSize, Ink, HorizontalAnchor.Center);
        canvas.Text(panel.XLabel, (plot.Left + plot.Right) / 2, top + height - Margin, TextSize, Ink, HorizontalAnchor.Center, VerticalAnchor.Bottom);
        canvas.Text(panel.YLabel, left + Margin, (plot.Top + plot.Bottom) / 2, TextSize, Ink, HorizontalAnchor.Center, upward: true);
        for (var i = 0; i < panel.Series.Count; i++) DrawSeries(canvas, plot, panel.Series[i], ColorOf(panel.Series, panel.Series[i]));
        if (points.Count == 0)
            canvas.Text("no data yet", (plot.Left + plot.Right) / 2, (plot.Top + plot.Bottom) / 2, TextSize, Frame, HorizontalAnchor.Center, VerticalAnchor.Middle);
        if (legendWidth > 0) DrawLegend(canvas, panel, legend, plot.Right + 16, plot.Top, plot.Bottom, legendWidth, lineHeight);
    }

    private static NiceTicks Ticks((double Low, double High)? range, IEnumerable<double> values, double wanted, bool whole)
    {
        var (low, high) = range ?? (values.DefaultIfEmpty(0).Min(), values.DefaultIfEmpty(1).Max());
        return NiceTicks.Over(low, high, (int)wanted, whole);
    }

    private static Color ColorOf(IReadOnlyList<ChartSeries> all, ChartSeries series) =>
        series.Color ?? Color.OfClass(all.Where(other => other.Color is null).TakeWhile(other => other != series).Count());

    private static void DrawAxes(Canvas canvas, Plot plot)
    {
        foreach (var value in plot.XTicks.Values)
        {
            canvas.Line(plot.X(value), plot.Top, plot.X(value), plot.Bottom, Grid, 1);
            canvas.Text(plot.XTicks.Format(value), plot.X(value), plot.Bottom + 5, TextSize, Ink, HorizontalAnchor.Center);
        }
        foreach (var value in plot.YTicks.Values)
        {
            canvas.Line(plot.Left, plot.Y(value), plot.Right, plot.Y(value), Grid, 1);
            canvas.Text(plot.YTicks.Format(value), plot.Left - 8, plot.Y(value), TextSize, Ink, HorizontalAnchor.Right, VerticalAnchor.Middle);
        }
        canvas.Rectangle(plot.Left, plot.Top, plot.Right, plot.Bottom, Frame, 1);
    }

    private static void DrawSeries(Canvas canvas, Plot plot, ChartSeries series, Color color)
    {
        var stretch = new List<(double, double)>();
        foreach (var (x, y) in series.Points)
        {
            if (double.IsFinite(x) && double.IsFinite(y)) stretch.Add((plot.X(x), Math.Clamp(plot.Y(y), plot.Top, plot.Bottom)));
            else Flush();
        }
        Flush();

        void Flush()
        {
            // A single point has no line; a dot shows it.
            if (stretch.Count == 1) canvas.FillCircle(stretch[0].Item1, stretch[0].Item2, series.Width + 1, color);
            else canvas.Polyline(stretch, color, series.Width);
            stretch.Clear();
        }
    }

    private static void DrawLegend(
        Canvas canvas, ChartPanel panel, List<ChartSeries> legend, double left, double top, double bottom, double width, double lineHeight)
    {
        var step = lineHeight + 4;
        var room = Math.Max(1, (int)((bottom - top) / step));
        for (var i = 0; i < Math.Min(legend.Count, room); i++)
        {
            var y = top + i * step + step / 2;
            if (i == room - 1 && legend.Count > room)
            {
                canvas.Text($"and {legend.Count - i} more", left, y, TextSize, Ink, vertical: VerticalAnchor.Middle);
                return;
            }
            canvas.Line(left, y, left + 18, y, ColorOf(panel.Series, legend[i]), Math.Max(2, legend[i].Width));
            canvas.Text(Canvas.Shorten(legend[i].Name, TextSize, width - 26), left + 24, y, TextSize, Ink, vertical: VerticalAnchor.Middle);
        }
    }
}
