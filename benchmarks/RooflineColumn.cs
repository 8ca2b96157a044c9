using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using CudaKernels.Kernels;

namespace CudaKernels.Benchmarks;

/// <summary>A figure that follows from a case's cost and its median time; empty for benchmarks that are no cases.</summary>
internal sealed class RooflineColumn : IColumn
{
    private readonly MeasuredCosts costs;
    private readonly Func<Cost, Roofline, double, string> figure;

    private RooflineColumn(MeasuredCosts costs, int order, string name, string legend, Func<Cost, Roofline, double, string> figure) =>
        (this.costs, PriorityInCategory, ColumnName, Legend, this.figure) = (costs, order, name, legend, figure);

    public string Id => nameof(RooflineColumn) + ColumnName;

    public string ColumnName { get; }

    public string Legend { get; }

    public bool AlwaysShow => false;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory { get; }

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public static IEnumerable<RooflineColumn> All()
    {
        var costs = new MeasuredCosts();
        return
        [
            new(costs, 0, "MB", "Megabytes that the case's kernels read and write at least", (cost, _, _) => Number(cost.Bytes / 1e6)),
            new(costs, 1, "MFLOP", "Floating-point operations of the direct sums, in millions", (cost, _, _) => Number(cost.Flops / 1e6)),
            new(costs, 2, "GB/s", "MB over the median time", (cost, _, seconds) => Number(cost.Bytes / seconds / 1e9)),
            new(costs, 3, "GFLOP/s", "MFLOP over the median time; minimal filtering computes less than the direct sums", (cost, _, seconds) => Number(cost.Flops / seconds / 1e9)),
            new(costs, 4, "Peak", "Share of what the roofline of this process allows: least time over median time; minimal filtering may pass 100 %",
                (cost, roof, seconds) => (roof.Seconds(cost) / seconds).ToString("P0", CultureInfo.InvariantCulture)),
            new(costs, 5, "Roof", "GFLOP/s between registers and GB/s changed in place that this process measured",
                (_, roof, _) => $"{Number(roof.FlopsPerSecond / 1e9)} / {Number(roof.BytesPerSecond / 1e9)}"),
        ];
    }

    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(c => CaseBenchmarks.Is(c.Descriptor.Type));

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        if (!CaseBenchmarks.Is(benchmarkCase.Descriptor.Type) || summary[benchmarkCase]?.ResultStatistics is not { } times)
            return "-";
        string name = (string)benchmarkCase.Parameters[nameof(CaseBenchmarks.Case)];
        int threads = (int)benchmarkCase.Parameters[nameof(CaseBenchmarks.Threads)];
        return figure(costs.Of(name), costs.Roof(threads), times.Median * 1e-9);
    }

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public override string ToString() => ColumnName;

    private static string Number(double value) => value.ToString(value < 10 ? "F2" : "F1", CultureInfo.InvariantCulture);
}
