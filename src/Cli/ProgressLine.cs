using Spectre.Console;

namespace CudaKernels.Cli;

/// <summary>One line of a terminal that is rewritten in place; silent where the output is no terminal.</summary>
internal sealed class ProgressLine(IAnsiConsole console) : IDisposable
{
    private const int Margin = 3; // the ^C that a terminal shows must not break the line

    private bool Interactive => console.Profile.Capabilities.Interactive && console.Profile.Capabilities.Ansi;

    /// <summary>Shows the pieces, the important ones first: as many as the terminal has room for.</summary>
    public void Write(params IReadOnlyList<string> pieces)
    {
        if (!Interactive)
            return;
        int width = Math.Max(20, console.Profile.Width - Margin);
        string text = pieces[0];
        foreach (string piece in pieces.Skip(1).TakeWhile(piece => text.Length + 2 + piece.Length <= width))
            text += "  " + piece;
        console.Profile.Out.Writer.Write("\r\u001b[2K" + (text.Length > width ? text[..width] : text));
        console.Profile.Out.Writer.Flush();
    }

    public void Show(int done, int total) => Write($"evaluating {done}/{total}");

    /// <summary>Empties the line so that ordinary output can follow.</summary>
    public void Clear()
    {
        if (Interactive)
            console.Profile.Out.Writer.Write("\r\u001b[2K");
    }

    public void Dispose() => Clear();
}
