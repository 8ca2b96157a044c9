using Xunit;

namespace CudaKernels.Tests;

/// The golden references: the folder named by the variable CUDAKERNELS_GOLDEN, else "golden" beside the program, where a bundle has
/// them, else ../shared/golden beside the repository.
/// They are not part of the repository, so a test that needs them skips with a sentence that names what is missing.
internal static class GoldenFolder
{
    private const string Variable = "CUDAKERNELS_GOLDEN";

    /// The folder that holds CudaKernels.sln.
    public static string RepositoryRoot => FindRepositoryRoot() ?? throw new DirectoryNotFoundException($"no CudaKernels.sln above {AppContext.BaseDirectory}");

    public static string Path { get; } = Find();

    public static bool Exists => Directory.Exists(Path);

    /// Skips the running test when the folder is absent.
    public static void Require()
    {
        if (!Exists) Assert.Skip($"golden references are absent: no folder {Path} (set {Variable} to where they are)");
    }

    /// A file or folder below the golden folder; skips the running test, naming it, when it is absent.
    public static string Require(params string[] parts)
    {
        Require();
        var full = System.IO.Path.Combine([Path, .. parts]);
        if (!File.Exists(full) && !Directory.Exists(full)) Assert.Skip($"golden reference {string.Join('/', parts)} is absent in {Path}");
        return full;
    }

    /// All case files of one operator, sorted by name; skips the running test, naming the operator, when there are none.
    public static IReadOnlyList<string> Cases(string op)
    {
        Require();
        var folder = System.IO.Path.Combine(Path, "ops", op);
        var files = Directory.Exists(folder) ? Directory.GetFiles(folder, "*.safetensors") : [];
        if (files.Length == 0) Assert.Skip($"golden references of operator {op} are absent in {Path}/ops");
        Array.Sort(files, StringComparer.Ordinal);
        return files;
    }

    private static string Find()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
            return System.IO.Path.GetFullPath(named);
        var beside = System.IO.Path.Combine(AppContext.BaseDirectory, "golden");
        return Directory.Exists(beside) || FindRepositoryRoot() is not { } root ? beside : System.IO.Path.GetFullPath(System.IO.Path.Combine(root, "..", "shared", "golden"));
    }

    private static string? FindRepositoryRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "CudaKernels.sln"))) return folder.FullName;
        return null;
    }
}
