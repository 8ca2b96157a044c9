using System.Text.RegularExpressions;

namespace CudaKernels.Tests;

/// <summary>Reads a kernel's PTX for what is wrong or slow on every GPU and can be seen in the text alone.</summary>
internal static partial class PtxLint
{
    /// <summary>What is wrong with the text, empty where nothing is.</summary>
    public static IReadOnlyList<string> Check(string text, bool doubles)
    {
        var found = new List<string>();
        string[] lines = text.Split('\n');
        foreach (string line in lines)
        {
            Complain(!doubles && Double().IsMatch(line), "double arithmetic: a literal without f, or an unsigned integer made a float", line);
            Complain(line.Contains(".local") || line.Contains("__local_depot"), "local memory: an array that is not in registers", line);
            Complain(GuardedUniform().IsMatch(line), "a guarded branch that promises to be uniform", line);
            Complain(line.Contains("brx.idx.uni"), "a jump table that promises to be uniform", line);
            Complain(Rough().IsMatch(line), "a function good to 2^-11 only", line);
        }
        var defined = Function().Matches(text).Select(m => m.Groups[1].Value).ToHashSet();
        foreach (Match call in Call().Matches(text))
            Complain(!defined.Contains(call.Groups[1].Value), "a call of a function that is not in the text", call.Value);
        return found;

        void Complain(bool wrong, string what, string line)
        {
            if (wrong)
                found.Add($"{what}: {line.Trim()}");
        }
    }

    // Declaring registers is no use of them: only instructions count.
    [GeneratedRegex(@"^\s*(?!\.reg)\S.*\.f64")]
    private static partial Regex Double();

    [GeneratedRegex(@"@!?%p\d+\s+bra\.uni")]
    private static partial Regex GuardedUniform();

    [GeneratedRegex(@"\b(tanh|sin|cos)\.approx")]
    private static partial Regex Rough();

    // A definition has a body; a declaration ends with a semicolon.
    [GeneratedRegex(@"\.func\s+(?:\([^)]*\)\s*)?(\w+)\s*(?:\([^)]*\))?\s*\{")]
    private static partial Regex Function();

    [GeneratedRegex(@"\bcall(?:\.uni)?\s+(?:\([^)]*\)\s*,\s*)?(\w+)")]
    private static partial Regex Call();
}
