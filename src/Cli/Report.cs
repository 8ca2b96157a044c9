using CudaKernels.Detection;
using Spectre.Console;

namespace CudaKernels.Cli;

/// <summary>
/// Where a verb's words go: tables and sentences to the terminal, JSON to a file. With <c>--json -</c> standard output carries
/// the JSON and nothing else; sentences then go to standard error.
/// </summary>
internal sealed class Report(string? json)
{
    private const int WideEnough = 240;

    public IAnsiConsole Console { get; } = Open(json == "-" ? System.Console.Error : System.Console.Out);

    /// <summary>One line however long: only a terminal breaks it.</summary>
    public void Line(string text) => Console.Profile.Out.Writer.WriteLine(text);

    /// <summary>For remarks that a program which reads the JSON from standard output has no use for; null where one does.</summary>
    public Action<string>? Note => json == "-" ? null : Line;

    /// <summary>Writes the JSON text where <c>--json</c> says; without the option nothing happens.</summary>
    public void Json(string text)
    {
        if (json is null)
            return;
        if (json == "-")
            System.Console.Out.WriteLine(text);
        else
            AtomicFile.WriteText(json, text + "\n");
    }

    public void Table(IReadOnlyList<string> columns, IEnumerable<IReadOnlyList<string>> rows)
    {
        var table = new Table().Border(TableBorder.Simple);
        for (int i = 0; i < columns.Count; i++)
            table.AddColumn(new TableColumn(Markup.Escape(columns[i])) { Alignment = i == 0 ? Justify.Left : Justify.Right, NoWrap = true });
        foreach (var row in rows)
            table.AddRow([.. row.Select(Markup.Escape)]);
        Console.Write(table);
    }

    private static IAnsiConsole Open(TextWriter writer)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) });
        if (!console.Profile.Out.IsTerminal)
            console.Profile.Width = WideEnough; // a file has no margin: no line may be broken
        return console;
    }
}
