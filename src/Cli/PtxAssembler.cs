using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace CudaKernels.Cli;

/// <summary>What a thread (registers, stack, spills) and a group (shared memory) of a kernel take, in registers and bytes, and its instructions.</summary>
/// <param name="Machine">Where nvdisasm lies beside ptxas.</param>
internal readonly record struct KernelResources(string Kernel, int Registers, int Shared, int Stack, int Spills, int Ptx, InstructionCounts? Machine);

/// <summary>
/// NVIDIA's ptxas, a developer's tool that is neither shipped nor needed: it assembles a text and says what the kernel takes. nvdisasm beside it
/// lists the machine code.
/// </summary>
internal sealed partial class PtxAssembler
{
    private readonly string program;

    private PtxAssembler(string program) => this.program = program;

    /// <summary>The named program, or the one on the PATH, or null if there is none.</summary>
    /// <exception cref="UsageException">The named program does not exist.</exception>
    public static PtxAssembler? Find(string? named)
    {
        if (named is not null)
            return File.Exists(named) ? new(named) : throw new UsageException($"--ptxas expects a program but there is no file {named}");
        string name = OperatingSystem.IsWindows() ? "ptxas.exe" : "ptxas";
        string? found = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        return found is null ? null : new(found);
    }

    /// <exception cref="IOException">The program cannot be run or refuses the text; gives file and the program's words.</exception>
    public KernelResources Assemble(string file, string architecture)
    {
        string code = Path.GetTempFileName();
        try
        {
            string words = Run(program, "-v", $"-arch={architecture}", file, "-o", code);
            if (Registers().Match(words) is not { Success: true } registers)
                throw new IOException($"{file}: {program} says nothing of registers: {words.Trim()}");
            var frame = Frame().Matches(words);
            string lister = Path.Combine(Path.GetDirectoryName(program)!, "nvdisasm" + Path.GetExtension(program));
            return new(Path.GetFileNameWithoutExtension(file), Number(registers.Groups[1]), Number(Shared().Match(words).Groups[1]),
                frame.Sum(m => Number(m.Groups[1])), frame.Sum(m => Number(m.Groups[2]) + Number(m.Groups[3])),
                InstructionCounts.OfPtx(File.ReadAllText(file)), File.Exists(lister) ? InstructionCounts.OfMachineCode(Run(lister, "-c", code)) : null);
        }
        finally
        {
            File.Delete(code);
        }
    }

    /// <summary>All that the program prints.</summary>
    private static string Run(string program, params string[] arguments)
    {
        using var process = Start(program, arguments);
        var other = process.StandardOutput.ReadToEndAsync();
        string words = process.StandardError.ReadToEnd() + other.Result;
        process.WaitForExit();
        return process.ExitCode == 0 ? words : throw new IOException($"{string.Join(' ', arguments)}: {program} refuses it: {words.Trim()}");
    }

    private static Process Start(string program, string[] arguments)
    {
        try
        {
            return Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new IOException($"{program}: cannot be run: {e.Message}");
        }
    }

    private static int Number(Group group) => group.Success ? int.Parse(group.Value, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();

    [GeneratedRegex(@"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")]
    private static partial Regex Frame();
}
