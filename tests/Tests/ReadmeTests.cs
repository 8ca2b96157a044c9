using System.Diagnostics;
using System.Text.RegularExpressions;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What the README shows compiles and runs, in a project that references only the detector library.</summary>
public sealed partial class ReadmeTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Fact]
    public void ProgramsRun()
    {
        using var folder = new TempFolder();
        File.Copy(run.Best, folder["best.safetensors"]);
        File.Copy(Directory.GetFiles(Path.Combine(Path.GetDirectoryName(run.Data)!, "images", "val"))[0], folder["photo.jpg"]);
        string data = run.Data.Replace("\\", "/");
        string Project(string name, string program)
        {
            folder.Write($"{name}/Program.cs", program.Replace("\"data.yaml\"", $"\"{data}\""));
            return folder.Write($"{name}/{name}.csproj", $"""
                <Project Sdk="Microsoft.NET.Sdk">
                  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><Nullable>enable</Nullable></PropertyGroup>
                  <ItemGroup><ProjectReference Include="{Path.Combine(GoldenFolder.RepositoryRoot, "src", "Detector", "Detector.csproj")}" /></ItemGroup>
                </Project>
                """);
        }

        var programs = Programs().ToDictionary(p => p.Name, p => p.Code);
        Assert.Equal(["detect", "train"], programs.Keys.Order());
        string detected = Run(folder, Project("detect", programs["detect"]));
        Assert.All(detected.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Contains("%", line));
        Assert.Contains("weights in runs/mine", Run(folder, Project("train", programs["train"])));
        Assert.True(File.Exists(folder["runs/mine/last.safetensors"]));
    }

    private static IEnumerable<(string Name, string Code)> Programs() =>
        Block().Matches(File.ReadAllText(Path.Combine(GoldenFolder.RepositoryRoot, "README.md")))
            .Select(m => (m.Groups["name"].Value, m.Groups["code"].Value));

    private static string Run(TempFolder folder, string project)
    {
        var start = new ProcessStartInfo("dotnet", ["run", "-c", "Release", "--project", project]) { WorkingDirectory = folder.Path, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var ended = CliProcess.Finish(process);
        Assert.True(ended.ExitCode == 0, ended.Error + ended.Output);
        return ended.Output;
    }

    [GeneratedRegex(@"<!-- program: (?<name>\w+) -->\s*```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex Block();
}
