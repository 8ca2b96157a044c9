using Spectre.Console;

namespace CudaKernels.Cli;

/// <summary>One line of a terminal that is rewritten in place; silent where the output is no terminal.</summary>
internal sealed class ProgressLine(IAnsiConsole console) : IDisposable
{
    private bool shown;

    private bool Interactive => console.Profile.Capabilities.Interactive && console.Profile.Capabilities.Ansi;

    public void Write(string text)
    {
        if (!Interactive)
            return;
        int width = Math.Max(20, console.Profile.Width - 1);
        console.Profile.Out.Writer.Write("\r\u001b[2K" + (text.Length > width ? text[..width] : text));
        console.Profile.Out.Writer.Flush();
        shown = true;
    }

    public void Show(int done, int total) => Write($"evaluating {done}/{total}");

    /// <summary>Empties the line so that ordinary output can follow.</summary>
    public void Clear()
    {
        if (shown)
            console.Profile.Out.Writer.Write("\r\u001b[2K");
        shown = false;
    }

    public void Dispose() => Clear();
}
