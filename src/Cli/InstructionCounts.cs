using System.Text.RegularExpressions;

namespace CudaKernels.Cli;

/// <summary>Instructions of a kernel's machine code by what they do; loads and stores are of global memory unless said otherwise.</summary>
/// <param name="WideLoads">Of the loads, those of 128 bits.</param>
/// <param name="Matrices">Products of fragments on tensor cores.</param>
/// <param name="Fragments">Loads of fragments from shared memory.</param>
/// <param name="Copies">Asynchronous copies from global to shared memory.</param>
/// <param name="Local">Loads and stores of local memory: spills and arrays that found no registers.</param>
internal sealed partial record InstructionCounts(
    int All, int MultiplyAdds, int Loads, int WideLoads, int Stores, int SharedLoads, int SharedStores, int Matrices, int Fragments, int Copies, int Barriers, int Local)
{
    /// <summary>Reads what nvdisasm prints: "/*0040*/  @P0 LDG.E.128 R4, desc[UR4][R2.64] ;".</summary>
    public static InstructionCounts OfMachineCode(string text)
    {
        string[] codes = [.. MachineCode().Matches(text).Select(m => m.Groups[1].Value).Where(code => code != "NOP")];
        var loads = codes.Where(code => Is(code, "LD") || Is(code, "LDG")).ToArray();
        return new(codes.Length, Count("FFMA"), loads.Length, loads.Count(code => code.EndsWith(".128", StringComparison.Ordinal)),
            Count("ST") + Count("STG"), Count("LDS"), Count("STS"), Count("HMMA"), Count("LDSM"), Count("LDGSTS"), Count("BAR"), Count("LDL") + Count("STL"));

        int Count(string name) => codes.Count(code => Is(code, name));
    }

    public static int OfPtx(string text) => Ptx().Count(text);

    private static bool Is(string code, string name) => code == name || code.StartsWith(name + ".", StringComparison.Ordinal);

    [GeneratedRegex(@"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", RegexOptions.Multiline)]
    private static partial Regex MachineCode();

    [GeneratedRegex(@"^\s+(?:@!?%\w+\s+)?[a-z][\w.]*[^:\n]*;", RegexOptions.Multiline)]
    private static partial Regex Ptx();
}
