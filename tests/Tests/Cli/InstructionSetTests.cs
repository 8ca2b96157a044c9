using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics;
using System.Text.Json.Nodes;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Processors without the widest vectors: the same program with instruction sets switched off finds the same objects.</summary>
public sealed class InstructionSetTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Theory]
    [InlineData("DOTNET_EnableAVX512", 256)]
    [InlineData("DOTNET_EnableAVX2", 128)]
    [InlineData("DOTNET_EnableHWIntrinsic", 32)]
    public void DetectionsAgree(string variable, int widest)
    {
        if (!Vector256.IsHardwareAccelerated)
            Assert.Skip("this processor has no 256-bit vectors to switch off");
        string images = Path.Combine(Path.GetDirectoryName(run.Data)!, "images", "val");
        string[] detect = ["detect", "--weights", run.Best, images, "--conf", "0", "--json", "-"];
        Assert.Equal($"{widest} bits", (string?)With(variable, "env", "--json", "-").Json()["vector width"]);
        var expected = CliProcess.Run(detect).Json().AsArray();
        var found = With(variable, detect).Json().AsArray();
        Assert.NotEmpty(expected);
        Assert.Equal(Scores(expected), Scores(found), (a, b) => Math.Abs(a - b) < 1e-3);
    }

    private static double[] Scores(JsonArray results) => [.. results.Select(r => (double)r!["score"]!).OrderDescending()];

    private static CliProcess With(string variable, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [CliProcess.Program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment[variable] = 0.ToString(CultureInfo.InvariantCulture);
        using var process = Process.Start(start)!;
        return CliProcess.Finish(process);
    }
}
