using System.Diagnostics;
using System.Text.Json.Nodes;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Runs the command as a user does: a process of its own, with its exit code, output and errors.</summary>
internal sealed record CliProcess(int ExitCode, string Output, string Error)
{
    public static string Program { get; } = Path.Combine(AppContext.BaseDirectory, "cudakernels.dll");

    public static CliProcess Run(params string[] arguments)
    {
        using var process = Start(arguments);
        return Finish(process);
    }

    public static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        return Process.Start(start)!;
    }

    public static CliProcess Finish(Process process)
    {
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(5)), "the command did not end within five minutes");
        return new(process.ExitCode, output, error.Result);
    }

    /// <summary>Expects success and gives the output as JSON.</summary>
    public JsonNode Json()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Error}{Output}");
        return JsonNode.Parse(Output)!;
    }

    /// <summary>Expects the exit code and one line on standard error that holds every text, and no stack trace.</summary>
    public void Fails(int exitCode, params string[] texts)
    {
        Assert.True(ExitCode == exitCode, $"exit code {ExitCode}, expected {exitCode}: {Error}{Output}");
        Assert.DoesNotContain("   at ", Error);
        Assert.Single(Error.TrimEnd().Split('\n'));
        foreach (string text in texts)
            Assert.Contains(text, Error);
    }
}
