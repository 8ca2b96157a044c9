using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace CudaKernels.Tests;

/// <summary>An instruction as it is written: its number in the text, an optional guard, the dotted parts of its name, its operands.</summary>
internal sealed record PtxLine(int Number, string Text, string Guard, string[] Name, string[] Operands);

/// <summary>An entry or a function; its labels are places in the lines of the whole text.</summary>
internal sealed record PtxFunction(string Name, bool IsEntry, int Start, string[] Results, string[] Parameters)
{
    public HashSet<string> Registers { get; } = [];

    public Dictionary<string, int> Labels { get; } = [];

    /// <summary>The targets of each jump table.</summary>
    public Dictionary<string, string[]> Tables { get; } = [];
}

/// <summary>
/// PTX taken apart: one entry, the functions it may call, the shared variables, and all instructions in one list. Directives that
/// mean nothing to a machine (versions, bounds on the launch) are passed over; any other is an error.
/// </summary>
internal sealed partial class PtxText
{
    private PtxFunction? open;
    private int depth;

    public PtxText(string text)
    {
        var pending = new StringBuilder();
        int number = 1, first = 1;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '/' && text.AsSpan(i).StartsWith("//"))
                i = text.IndexOf('\n', i) - 1;
            else if (pending.Length == 0 && char.IsWhiteSpace(c))
                number += c == '\n' ? 1 : 0;
            else
            {
                first = pending.Length == 0 ? number : first;
                number += c == '\n' ? 1 : 0;
                pending.Append(c);
                if (Ends(pending, c, text.AsSpan(i + 1)))
                {
                    Read(first, Spaces().Replace(pending.ToString(), " ").Trim());
                    pending.Clear();
                }
            }
        }
        if (pending.Length > 0)
            throw new PtxFault($"PTX line {first}: `{pending}` does not end");
    }

    public List<PtxLine> Lines { get; } = [];

    public List<PtxFunction> Functions { get; } = [];

    /// <summary>Where each parameter of the entry begins.</summary>
    public Dictionary<string, int> ParameterOffsets { get; } = [];

    public int ParameterBytes { get; private set; }

    /// <summary>Where each shared variable begins.</summary>
    public Dictionary<string, int> SharedOffsets { get; } = [];

    public int SharedBytes { get; private set; }

    public PtxFunction Entry => Functions.FirstOrDefault(f => f.IsEntry) ?? throw new PtxFault("PTX: there is no .entry");

    /// <summary>
    /// A statement ends with its semicolon, a label with the line, a directive outside of functions too. A brace that begins or ends
    /// a block stands alone or behind a header; the others belong to vectors.
    /// </summary>
    private bool Ends(StringBuilder pending, char c, ReadOnlySpan<char> rest) => c switch
    {
        ';' => true,
        ':' => rest.IndexOf('\n') is var line && rest[..Math.Max(0, line)].IsWhiteSpace(),
        '{' or '}' => pending.Length == 1 || IsHeader(pending.ToString()),
        '\n' => depth == 0 && pending[0] == '.' && !IsHeader(pending.ToString()),
        _ => false,
    };

    private static bool IsHeader(string statement) => statement.Contains(".entry") || statement.Contains(".func");

    private void Read(int number, string statement)
    {
        if (statement[^1] == '{')
        {
            if (depth++ == 0)
                ReadHeader(number, statement);
        }
        else if (statement == "}")
            open = --depth == 0 ? null : open;
        else if (Shared().Match(statement) is { Success: true } shared)
            SharedBytes = Place(SharedOffsets, SharedBytes, shared);
        else if (open is null)
            Require(Meaningless().IsMatch(statement) || IsHeader(statement), number, statement);
        else if (statement[^1] == ':')
            open.Labels.Add(statement[..^1], Lines.Count);
        else if (Table().Match(statement) is { Success: true } table)
            open.Tables.Add(table.Groups[1].Value, SplitOperands(table.Groups[2].Value));
        else if (Registers().Match(statement) is { Success: true } registers)
            Declare(open, SplitOperands(registers.Groups[1].Value));
        else if (statement[0] == '.')
            Require(Meaningless().IsMatch(statement), number, statement);
        else
            ReadInstruction(number, statement);
    }

    private static void Require(bool known, int number, string statement)
    {
        if (!known)
            throw new PtxFault($"PTX line {number}: `{statement}` is not known to the machine");
    }

    private void ReadHeader(int number, string statement)
    {
        var parts = Header().Match(statement);
        Require(parts.Success, number, statement);
        bool entry = statement.Contains(".entry");
        open = new PtxFunction(parts.Groups["name"].Value, entry, Lines.Count, Names("results"), Names("parameters"));
        Functions.Add(open);
        if (entry)
            foreach (Match parameter in Parameter().Matches(parts.Groups["parameters"].Value))
                ParameterBytes = Place(ParameterOffsets, ParameterBytes, parameter);

        string[] Names(string group) => [.. Parameter().Matches(parts.Groups[group].Value).Select(p => p.Groups["name"].Value)];
    }

    private void ReadInstruction(int number, string statement)
    {
        var parts = Instruction().Match(statement);
        Require(parts.Success, number, statement);
        Lines.Add(new(number, statement, parts.Groups["guard"].Value, parts.Groups["name"].Value.Split('.'), SplitOperands(parts.Groups["operands"].Value)));
    }

    /// <summary>Splits at the commas that stand in no bracket.</summary>
    public static string[] SplitOperands(string text)
    {
        var operands = new List<string>();
        int brackets = 0, start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || text[i] == ',' && brackets == 0)
            {
                if (text[start..i].Trim() is { Length: > 0 } operand)
                    operands.Add(operand);
                start = i + 1;
            }
            else if (text[i] is '{' or '[' or '(')
                brackets++;
            else if (text[i] is '}' or ']' or ')')
                brackets--;
        }
        return [.. operands];
    }

    /// <summary>"%r&lt;3&gt;" declares %r0, %r1 and %r2.</summary>
    private static void Declare(PtxFunction function, string[] names)
    {
        foreach (string name in names)
        {
            string[] range = name.Split('<', '>');
            if (range.Length == 1)
                function.Registers.Add(name);
            else
                function.Registers.UnionWith(Enumerable.Range(0, Number(range[1])).Select(i => range[0] + i));
        }
    }

    /// <summary>Gives a declared variable its place behind the others; the bytes used then.</summary>
    private static int Place(Dictionary<string, int> offsets, int used, Match declaration)
    {
        int size = Number(declaration.Groups["bits"].Value) / 8;
        int align = declaration.Groups["align"] is { Success: true } a ? Number(a.Value) : size;
        int count = declaration.Groups["count"] is { Success: true } c ? Number(c.Value) : 1;
        int offset = (used + align - 1) / align * align;
        offsets.Add(declaration.Groups["name"].Value, offset);
        return offset + size * count;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"(?:\.entry|\.func)\s*(?:\((?<results>[^)]*)\)\s*)?(?<name>[\w$]+)\s*(?:\((?<parameters>[^)]*)\))?[^(){]*\{$")]
    private static partial Regex Header();

    [GeneratedRegex(@"\.param\s+(?:\.align\s+(?<align>\d+)\s+)?\.[bsuf](?<bits>\d+)\s+(?<name>[\w$]+)(?:\[(?<count>\d+)\])?")]
    private static partial Regex Parameter();

    [GeneratedRegex(@"^\.shared\s+(?:\.align\s+(?<align>\d+)\s+)?\.[bsuf](?<bits>\d+)\s+(?<name>[\w$]+)(?:\[(?<count>\d+)\])?;$")]
    private static partial Regex Shared();

    [GeneratedRegex(@"^([\w$]+)\s*:\s*\.branchtargets\s+(.*);$")]
    private static partial Regex Table();

    [GeneratedRegex(@"^\.reg\s+\.\w+\s+(.*);$")]
    private static partial Regex Registers();

    [GeneratedRegex(@"^(?:@(?<guard>!?%?\w+)\s+)?(?<name>[\w.:]+)\s*(?<operands>.*?)\s*;$")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"^\.(version|target|address_size|param|pragma|loc|file|maxntid|reqntid|minnctapersm|maxnreg)\b")]
    private static partial Regex Meaningless();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
