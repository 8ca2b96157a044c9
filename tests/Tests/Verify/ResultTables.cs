using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaKernels.Tests;

/// <summary>Writes what a run on a GPU machine left in its folder as the tables of docs/results/gpu.md; a cell without a figure stays empty.</summary>
internal static class ResultTables
{
    private static readonly string[] Precisions = ["fp32", "tf32", "bf16"];

    /// <param name="folder">Holds verify.json, bench.jsonl and, where the peer ran, peer.jsonl.</param>
    public static string Write(string folder)
    {
        var text = new StringBuilder("| rung | what | state | figures |\n| --- | --- | --- | --- |\n");
        foreach (var rung in JsonSerializer.Deserialize<RungResult[]>(File.ReadAllText(Path.Combine(folder, "verify.json")))!)
            text.Append($"| {rung.Name} | {rung.What} | {rung.State.ToString().ToLowerInvariant()} | {rung.Text.ReplaceLineEndings("; ").Replace("|", "\\|", StringComparison.Ordinal)} |\n");
        text.Append("\n| case | precision | ours ms | GFLOP/s | GB/s | fp32 | tf32 | bf16 | ours / best |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        var peers = Peers(Path.Combine(folder, "peer.jsonl"));
        foreach (var row in Lines(Path.Combine(folder, "bench.jsonl")))
        {
            string name = (string)row["case"]!;
            double?[] peer = [.. Precisions.Select(p => peers.TryGetValue((name, p), out double ms) ? ms : (double?)null)];
            string ours = row["skipped"] is not null ? "skipped" : row["error"] is not null ? "failed" : Text((double?)row["ms"]);
            string[] cells = [name, (string?)row["precision"] ?? "", ours, Text((double?)row["gflop_per_s"]), Text((double?)row["gb_per_s"]), .. peer.Select(Text), Text((double?)row["ms"] / peer.Min())];
            text.Append($"| {string.Join(" | ", cells)} |\n");
        }
        return text.ToString();
    }

    /// <summary>The better of the layouts for each case and precision; a line without a case says what the following were run with.</summary>
    private static Dictionary<(string, string), double> Peers(string file)
    {
        var best = new Dictionary<(string, string), double>();
        string precision = "";
        foreach (var row in File.Exists(file) ? Lines(file) : [])
            if (row["case"] is null)
                precision = (string?)row["precision"] ?? "";
            else if ((double?)row["ms"] is { } ms)
                best[((string)row["case"]!, precision)] = Math.Min(ms, best.GetValueOrDefault(((string)row["case"]!, precision), double.PositiveInfinity));
        return best;
    }

    private static IEnumerable<JsonNode> Lines(string file) =>
        File.ReadLines(file).Where(line => line.StartsWith('{')).Select(line => JsonNode.Parse(line)!);

    private static string Text(double? value) => value?.ToString(value < 10 ? "F3" : "F1", CultureInfo.InvariantCulture) ?? "";
}
