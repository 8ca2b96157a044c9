using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using CudaKernels.Detection;
using CudaKernels.Kernels;

namespace CudaKernels.Cli;

/// <summary>Writes the PTX of every kernel and, where NVIDIA's assembler is found, what each takes of a multiprocessor.</summary>
internal static class KernelsCommand
{
    private static readonly string[] Columns = ["kernel", "registers", "shared bytes", "stack bytes", "spill bytes", "PTX"];
    private static readonly string[] MachineColumns = ["SASS", "FFMA", "loads", ".128", "stores", "LDS", "STS", "HMMA", "LDSM", "LDGSTS", "BAR", "LDL+STL"];
    private static readonly JsonSerializerOptions Format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Create()
    {
        var arch = new Option<string>("--arch") { Description = "Architecture: sm_80 or sm_90.", DefaultValueFactory = _ => "sm_90" };
        var output = new Option<string>("--out") { Description = "Folder for the texts, one file a kernel.", Required = true, HelpName = "DIR" };
        var ptxas = new Option<string?>("--ptxas") { Description = "NVIDIA's assembler. [default: ptxas, if it is on the PATH]", HelpName = "FILE" };
        Option<string?> json = SharedOptions.Json();
        var command = new Command("kernels", """
            Writes the PTX of every kernel. Needs no GPU. With ptxas also a table, table.md, of registers, shared memory, stack and spills.

            Example:
              cudakernels kernels --arch sm_90 --out ptx
            """) { arch, output, ptxas, json };
        command.SetAction(parsed =>
        {
            string architecture = parsed.GetValue(arch)!, folder = parsed.GetRequiredValue(output);
            if (!OfflineCompiler.Architectures.Contains(architecture))
                throw new UsageException($"--arch expects {string.Join(" or ", OfflineCompiler.Architectures)} but is {architecture}");
            var report = new Report(parsed.GetValue(json));
            var assembler = PtxAssembler.Find(parsed.GetValue(ptxas));
            Directory.CreateDirectory(folder);
            using var compiler = new OfflineCompiler(architecture);
            var files = new List<string>();
            int failed = 0;
            foreach (var kernel in GpuKernels.Find())
                try
                {
                    string text = compiler.Compile(kernel);
                    files.Add(Path.Combine(folder, KernelLoader.NameOf(kernel) + ".ptx"));
                    AtomicFile.WriteText(files[^1], text);
                }
                catch (KernelException e)
                {
                    failed++;
                    Console.Error.WriteLine($"cudakernels: {e.Message.ReplaceLineEndings(" ")}");
                }
            report.Line($"{files.Count} kernels for {architecture} in {folder}");
            int exitCode = failed == 0 ? CommandLine.Done : CommandLine.Failed;
            if (assembler is null)
            {
                report.Line("no table: ptxas is not on the PATH; --ptxas FILE says where it is");
                report.Json(JsonSerializer.Serialize(files.Select(Path.GetFileNameWithoutExtension)));
                return exitCode;
            }
            var rows = files.ConvertAll(file => assembler.Assemble(file, architecture));
            string[] columns = rows.Exists(row => row.Machine is not null) ? [.. Columns, .. MachineColumns] : Columns;
            var cells = rows.ConvertAll(Cells);
            report.Table(columns, cells);
            AtomicFile.WriteText(Path.Combine(folder, "table.md"), Markdown(columns, cells));
            report.Json(JsonSerializer.Serialize(rows, Format));
            return exitCode;
        });
        return command;
    }

    private static string[] Cells(KernelResources row)
    {
        int[] counts = row.Machine is { } m
            ? [m.All, m.MultiplyAdds, m.Loads, m.WideLoads, m.Stores, m.SharedLoads, m.SharedStores, m.Matrices, m.Fragments, m.Copies, m.Barriers, m.Local] : [];
        return [row.Kernel, .. ((int[])[row.Registers, row.Shared, row.Stack, row.Spills, row.Ptx, .. counts]).Select(n => n.ToString(CultureInfo.InvariantCulture))];
    }

    private static string Markdown(string[] columns, List<string[]> rows)
    {
        var text = new StringBuilder().AppendJoin(" | ", columns).Append("\n---").AppendJoin("", columns.Skip(1).Select(_ => " | ---:")).Append('\n');
        foreach (string[] row in rows)
            text.Append('`').Append(row[0]).Append("` | ").AppendJoin(" | ", row[1..]).Append('\n');
        return text.ToString();
    }
}
