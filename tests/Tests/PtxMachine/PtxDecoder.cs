using System.Globalization;

namespace CudaKernels.Tests;

/// <summary>Makes steps of lines. An instruction is looked up in one family after the other; one that none knows is an error.</summary>
internal sealed class PtxDecoder(string kernel, string text)
{
    /// <summary>Where generic addresses of shared memory begin; no address of the host lies there.</summary>
    public const ulong SharedWindow = 0x7f00_0000_0000_0000;

    private readonly PtxText source = new(text);
    private readonly Dictionary<string, int> rows = [];
    private readonly Dictionary<int, ulong> constants = [];
    private readonly Dictionary<int, string> specials = [];

    /// <summary>Bytes of the narrowest access met so far.</summary>
    public int Grain { get; set; } = 4;

    public IReadOnlyList<PtxLine> Lines => source.Lines;

    /// <summary>The index of the line that is being decoded.</summary>
    public int At { get; private set; }

    public PtxLine Line => Lines[At];

    public PtxFunction Function { get; private set; } = null!;

    public PtxProgram Decode()
    {
        var steps = new PtxStep[source.Lines.Count];
        for (At = 0; At < steps.Length; At++)
        {
            Function = source.Functions.Last(f => f.Start <= At);
            steps[At] = Step() ?? throw Unknown("the machine does not know this instruction");
        }
        return new(kernel, source.Lines, steps, source.Entry.Start)
        {
            Cells = rows.Count * PtxWarp.Lanes,
            Constants = constants,
            Specials = specials,
            SharedBytes = source.SharedBytes,
            ParameterBytes = source.ParameterBytes,
            Grain = Grain,
        };
    }

    public PtxFault Unknown(string what) => new(kernel, Line, "", what);

    private PtxStep? Step()
    {
        var step = PtxCalls.Find(this) ?? PtxFlow.Find(this) ?? PtxMemory.Find(this) ?? PtxCopies.Find(this) ?? PtxExchange.Find(this) ?? PtxMatrix.Find(this) ?? Compute();
        if (step is null || Line.Guard.Length == 0)
            return step;
        bool negated = Line.Guard[0] == '!';
        int row = Row(Line.Guard.TrimStart('!'));
        return warp =>
        {
            if (warp.Keep(row, negated))
                step(warp);
        };
    }

    private PtxStep? Compute()
    {
        string[] name = Line.Name;
        if (name[0] == "mov" && Line.Operands is [var to, var from])
            return to[0] != '{' && from[0] != '{' ? PtxCompute.Copy(Row(to), Row(from)) : null;
        if (name[0] == "cvta" && Line.Operands is [var result, var address])
            return Window(name) is { } offset && PtxIntegers.Find("add", new('u', 64)) is { } add ? PtxCompute.Step(add, [Row(result), Row(address), Constant(offset)]) : null;
        var find = PtxComparisons.Find(name) ?? PtxConversions.Find(name);
        if (find is null && PtxType.TryParse(name[^1], out var type))
            find = PtxIntegers.Find(string.Join('.', name[..^1]), type) ?? PtxFloats.Find(string.Join('.', name[..^1]), type);
        return find is null ? null : PtxCompute.Step(find, [.. Line.Operands.Select(Row)]);
    }

    /// <summary>What has to be added to an address of one space for one of the other.</summary>
    private static ulong? Window(string[] name) => string.Join('.', name[1..]) switch
    {
        "shared.u64" => SharedWindow,
        "to.shared.u64" => unchecked(0 - SharedWindow),
        "global.u64" or "to.global.u64" => 0,
        _ => null,
    };

    /// <summary>The row of a register, a number, or the address of a shared variable.</summary>
    public int Row(string operand)
    {
        if (Function.Registers.Contains(operand))
            return Place($"{Function.Name}:{operand}");
        if (source.SharedOffsets.TryGetValue(operand, out int offset))
            return Constant((ulong)offset);
        if (Number(operand) is { } number)
            return Constant(number);
        if (!PtxBlock.IsSpecial(operand))
            throw Unknown($"{operand} is no register, number or variable");
        int row = Place(operand);
        specials[row] = operand;
        return row;
    }

    /// <summary>The rows of "{%f1, %f2}", or of one register.</summary>
    public int[] Rows(string operand) => [.. PtxText.SplitOperands(operand.Trim('{', '}')).Select(Row)];

    /// <summary>"[%rd1+16]": the row of the address, and what is added to it.</summary>
    public (int Row, long Offset) Address(string operand)
    {
        string[] parts = AddressParts(operand);
        return (Row(parts[0]), parts.Length == 1 ? 0 : (long)(Number(parts[1]) ?? throw Unknown($"{operand} is no address")));
    }

    /// <summary>Where in the arguments "[name+16]" is; nothing where it is no parameter of the entry.</summary>
    public int? ParameterOffset(string operand)
    {
        string[] parts = AddressParts(operand);
        return Function.IsEntry && source.ParameterOffsets.TryGetValue(parts[0], out int offset) ? offset + (parts.Length == 1 ? 0 : (int)Number(parts[1])!) : null;
    }

    public int Label(string name) => Function.Labels.TryGetValue(name, out int place) ? place : throw Unknown($"there is no label {name}");

    public int[]? Table(string name) => Function.Tables.TryGetValue(name, out string[]? labels) ? [.. labels.Select(Label)] : null;

    public PtxFunction? FindFunction(string name) => source.Functions.FirstOrDefault(f => f.Name == name);

    /// <summary>A row that lines of several functions know by its name.</summary>
    public int SharedRow(string name, ulong? first = null)
    {
        int row = Place(name);
        if (first is { } value)
            constants[row] = value;
        return row;
    }

    private static string[] AddressParts(string operand) => operand.Trim('[', ']').Split('+', StringSplitOptions.TrimEntries);

    private int Constant(ulong value)
    {
        int row = Place($"={value}");
        constants[row] = value;
        return row;
    }

    private int Place(string name)
    {
        if (!rows.TryGetValue(name, out int row))
            rows.Add(name, row = rows.Count * PtxWarp.Lanes);
        return row;
    }

    private static ulong? Number(string text)
    {
        if (text.StartsWith("0f", StringComparison.OrdinalIgnoreCase) && uint.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint single))
            return single;
        if (text.StartsWith("0d", StringComparison.OrdinalIgnoreCase) && ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong wide))
            return wide;
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase) && ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong hex))
            return hex;
        if (long.TryParse(text, CultureInfo.InvariantCulture, out long number))
            return (ulong)number;
        return ulong.TryParse(text, CultureInfo.InvariantCulture, out ulong large) ? large : null;
    }
}
