namespace CudaKernels.Tests;

/// <summary>
/// Calls of functions in the text. A function has one set of registers, so it must not call itself; its parameters and results are
/// rows that caller and function share: what the caller stores for its next call, and loads after its last one, is the function's.
/// </summary>
internal static class PtxCalls
{
    private const ulong Nowhere = ulong.MaxValue;

    public static PtxStep? Find(PtxDecoder decoder)
    {
        var line = decoder.Line;
        switch (line.Name[0], line.Operands)
        {
            case ("call", _) when Read(decoder, line) is var (callee, _, _):
                int back = ReturnRow(decoder, callee), next = decoder.At + 1;
                return warp =>
                {
                    foreach (int lane in warp.Running)
                        warp.Cells[back + lane] = warp.Cells[back + lane] == Nowhere ? (ulong)next : throw warp.Fault(lane, $"{callee.Name} calls itself");
                    warp.Jump(callee.Start);
                };
            case ("ret", []) when !decoder.Function.IsEntry:
                int row = ReturnRow(decoder, decoder.Function);
                return warp => warp.Scatter(lane =>
                {
                    ulong target = warp.Cells[row + lane];
                    warp.Cells[row + lane] = Nowhere;
                    return (int)target;
                });
            case ("st", [var to, var from]) when line.Name[1] == "param":
                return PtxCompute.Copy(Row(decoder, to), decoder.Row(from));
            case ("ld", [var to, var from]) when line.Name[1] == "param" && decoder.ParameterOffset(from) is null:
                return PtxCompute.Copy(decoder.Row(to), Row(decoder, from));
            default:
                return null;
        }
    }

    private static int ReturnRow(PtxDecoder decoder, PtxFunction function) => decoder.SharedRow($"{function.Name}:", Nowhere);

    /// <summary>Where "[name+4]" is: a parameter or result of this function, or of one that it calls.</summary>
    private static int Row(PtxDecoder decoder, string operand)
    {
        string[] parts = operand.Trim('[', ']').Split('+');
        string name = parts[0], offset = parts.ElementAtOrDefault(1) ?? "0";
        var function = decoder.Function;
        if (!function.Results.Contains(name) && !function.Parameters.Contains(name))
        {
            bool stores = decoder.Line.Name[0] == "st";
            var call = stores ? decoder.Lines.Skip(decoder.At).First(IsCall) : decoder.Lines.Take(decoder.At).Last(IsCall);
            var (callee, arguments, results) = Read(decoder, call) ?? throw decoder.Unknown("it belongs to no call");
            (string[] here, string[] there) = stores ? (arguments, callee.Parameters) : (results, callee.Results);
            int place = Array.IndexOf(here, name);
            if (place < 0 || here.Length != there.Length)
                throw decoder.Unknown($"{name} belongs to no call");
            (function, name) = (callee, there[place]);
        }
        return decoder.SharedRow($"{function.Name}:{name}+{offset}");
    }

    private static bool IsCall(PtxLine line) => line.Name[0] == "call";

    /// <summary>The function that "call (result), name, (argument, argument)" calls, with the names in its brackets.</summary>
    private static (PtxFunction Callee, string[] Arguments, string[] Results)? Read(PtxDecoder decoder, PtxLine call)
    {
        string[] results = call.Operands[0][0] == '(' ? Names(call.Operands[0]) : [];
        string[] rest = call.Operands[0][0] == '(' ? call.Operands[1..] : call.Operands;
        return decoder.FindFunction(rest[0]) is { } callee ? (callee, rest.Length > 1 ? Names(rest[1]) : [], results) : null;
    }

    private static string[] Names(string brackets) => PtxText.SplitOperands(brackets.Trim('(', ')'));
}
