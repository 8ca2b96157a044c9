using System.Text.Json;
using Xunit;

namespace CudaKernels.Tests;

public sealed class ResultTablesTests
{
    [Fact]
    public void FiguresStandBesideTheBestOfThePeerAndNothingIsMadeUp()
    {
        using var folder = new TempFolder();
        folder.Write("verify.json", JsonSerializer.Serialize<RungResult[]>([new("a", "context", RungState.Ok, 1, "x | y"), new("b", "add", RungState.Failed, 1, "two\nlines")]));
        string bench = folder.Write("bench.jsonl", """
            {"case":"copy","ms":8.5,"gb_per_s":16.25}
            {"case":"conv","precision":"fp32","ms":6,"gflop_per_s":123.44,"gb_per_s":2}
            {"case":"conv","precision":"tf32","ms":1}
            {"case":"new","skipped":true}
            {"case":"bad","error":"words"}
            """);
        folder.Write("peer.jsonl", """
            {"peer":"torch","precision":"fp32","layout":"nchw"}
            {"case":"conv","ms":4}
            {"peer":"torch","precision":"fp32","layout":"nhwc"}
            a warning
            {"case":"conv","ms":3}
            {"case":"bad","skipped":true}
            {"peer":"torch","precision":"bf16","layout":"nchw"}
            {"case":"conv","ms":2}
            """);
        Assert.Equal("""
            | rung | what | state | figures |
            | --- | --- | --- | --- |
            | a | context | ok | x \| y |
            | b | add | failed | two; lines |

            | case | precision | ours ms | GFLOP/s | GB/s | fp32 | tf32 | bf16 | ours / best |
            | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
            | copy |  | 8.500 |  | 16.2 |  |  |  |  |
            | conv | fp32 | 6.000 | 123.4 | 2.000 | 3.000 |  | 2.000 | 3.000 |
            | conv | tf32 | 1.000 |  |  | 3.000 |  | 2.000 | 0.500 |
            | new |  | skipped |  |  |  |  |  |  |
            | bad |  | failed |  |  |  |  |  |  |

            """.ReplaceLineEndings("\n"), ResultTables.Write(Path.GetDirectoryName(bench)!));
    }
}
