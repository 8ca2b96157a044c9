using System.Diagnostics;
using System.Globalization;
using CudaKernels.Detection;
using Spectre.Console;

namespace CudaKernels.Cli;

/// <summary>
/// Shows a run: on a terminal one line that is rewritten with every step, elsewhere a plain line now and then; a table after
/// every evaluation.
/// </summary>
internal sealed class TrainProgress(IAnsiConsole console) : ITrainObserver, IDisposable
{
    private const int WarmUp = 5;

    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(10);

    private readonly ProgressLine line = new(console);
    private long lastPlain;
    private readonly List<double> paces = [];
    private double pace;

    public void Note(string sentence)
    {
        line.Clear();
        console.Profile.Out.Writer.WriteLine(sentence);
    }

    public void Stepped(StepReport report)
    {
        paces.Add(report.ImagesPerSecond);
        pace = pace == 0 ? report.ImagesPerSecond : 0.95 * pace + 0.05 * report.ImagesPerSecond;
        var remaining = TimeSpan.FromSeconds(report.Remaining.TotalSeconds * report.ImagesPerSecond / pace);
        string[] pieces =
        [
            $"epoch {report.Epoch + 1}", $"step {report.Step}/{report.TotalSteps}", $"ETA {Span(remaining)}", Number($"{pace:F1} images/s"),
            Number($"loss {report.Loss:F3}"), .. report.Losses.Select(l => Number($"{l.Name} {l.Value:F3}")), Number($"lr {report.Rate:G3}"),
        ];
        if (console.Profile.Capabilities.Interactive && console.Profile.Capabilities.Ansi)
            line.Write(pieces);
        else if (report.Step == 1 || report.Step == report.TotalSteps || Stopwatch.GetElapsedTime(lastPlain) > PlainInterval)
        {
            lastPlain = Stopwatch.GetTimestamp();
            console.Profile.Out.Writer.WriteLine(string.Join("  ", pieces));
        }
    }

    public void Evaluating(int done, int total) => line.Show(done, total);

    public void Evaluated(EvaluationReport report)
    {
        line.Clear();
        var result = report.Result;
        console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"epoch {report.Epoch + 1}  AP {CocoResult.Format(result["AP"])}  AP50 {CocoResult.Format(result["AP50"])}  AP75 {CocoResult.Format(result["AP75"])}  ({report.Took.TotalSeconds:F1} s){(report.IsBest ? "  best so far" : "")}"));
        Last = result;
    }

    /// <summary>The newest evaluation.</summary>
    public CocoResult? Last { get; private set; }

    /// <summary>Median pictures a second over the steps after the first few, in which code is still compiled; null when there were none.</summary>
    public double? MedianPace
    {
        get
        {
            double[] steady = [.. paces.Skip(WarmUp).Order()];
            return steady.Length == 0 ? null : steady[steady.Length / 2];
        }
    }

    /// <summary>The closing words: where everything lies.</summary>
    public void Finish(RunFolder folder, TrainOutcome outcome)
    {
        line.Clear();
        if (outcome == TrainOutcome.Interrupted)
            return;
        if (Last is not null)
            EvalCommand.Print(new Report(null), Last);
        console.WriteLine($"{folder.Path}: best.safetensors, last.safetensors, curves.png, precision_recall.png, confusion.png, metrics.json");
    }

    public void Dispose() => line.Dispose();

    private static string Number(FormattableString text) => FormattableString.Invariant(text);

    private static string Span(TimeSpan span) => span.TotalHours >= 1 ? $"{(int)span.TotalHours}:{span:mm\\:ss}" : $"{span:mm\\:ss}";
}
