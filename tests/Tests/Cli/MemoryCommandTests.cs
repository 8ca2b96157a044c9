using Xunit;

namespace CudaKernels.Tests;

/// <summary>The table of what recomputation saves: calculated for every number of segments, and measured where asked for.</summary>
public sealed class MemoryCommandTests
{
    [Theory]
    [InlineData("ttfnet-nano", 9)]
    [InlineData("resnet-18", 9)]
    [InlineData("ttfnet-53", 16)]
    public void MoreBatchFitsWhereLessIsKept(string model, int most)
    {
        var rows = CliProcess.Run("memory", "--model", model, "--imgsz", "64", "--batch", "4", "--budget", "2", "--json", "-").Json().AsArray();
        Assert.Equal(Enumerable.Range(0, most + 1), rows.Select(r => (int)r!["segments"]!));
        Assert.All(rows, r => Assert.Equal((int)r!["segments"]!, r["ends"]!.AsArray().Count));
        Assert.Equal(0, (double)rows[0]!["extra_work"]!);
        var smallest = rows.MinBy(r => (long)r!["calculated_bytes"]!)!;
        Assert.InRange((double)smallest["extra_work"]!, 0.3, 1);
        Assert.True((int)smallest["largest_batch"]! > 1.5 * (int)rows[0]!["largest_batch"]!, rows.ToJsonString());
    }

    [Fact]
    public void MeasuresTheStepsThatWereAskedFor()
    {
        var rows = CliProcess.Run("memory", "--model", "ttfnet-nano", "--imgsz", "64", "--batch", "2", "--measure", "1", "--segments", "0", "3", "--device", "cpu", "--json", "-").Json().AsArray();
        Assert.Equal([0, 3], rows.Select(r => (int)r!["segments"]!));
        foreach (var row in rows)
        {
            Assert.True((long)row!["measured_bytes"]! >= (long)row["calculated_bytes"]!, row.ToJsonString()); // scratch of kernels comes on top
            Assert.True((double)row["time_ratio"]! > 0, row.ToJsonString());
        }
        CliProcess.Run("memory", "--model", "ttfnet-nan").Fails(1, "did you mean ttfnet-nano");
        CliProcess.Run("memory", "--model", "resnet-50", "--imgsz", "100").Fails(1, "multiple of 32");
    }
}
