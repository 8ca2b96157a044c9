using System.Text.Json;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>One named piece of work from a cases file: an operation and its sizes (NCHW names, square kernels).</summary>
internal sealed record BenchCase(string Name, string Operation, IReadOnlyDictionary<string, double> Sizes)
{
    /// <summary>The size of that name; a missing one without a default is an error that names the case.</summary>
    public int this[string key, int? fallback = null]
    {
        get
        {
            if (fallback is { } given && !Sizes.ContainsKey(key))
                return given;
            double value = Number(key);
            return value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue ? (int)value
                : throw new DataException(FormattableString.Invariant($"case {Name}: {key} expects a whole number but is {value}"));
        }
    }

    /// <summary>As the indexer, for keys that are no whole numbers.</summary>
    public double Number(string key) => Sizes.TryGetValue(key, out double value) ? value
        : throw new DataException($"case {Name}: {Operation} needs the key {key}");

    /// <summary>Reads <c>{"cases": [{"case": NAME, "op": OPERATION, sizes...}, ...]}</c>.</summary>
    public static IReadOnlyList<BenchCase> ReadFile(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllText(path));
            return [.. document.RootElement.GetProperty("cases").EnumerateArray().Select(Read)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path}: cannot be read ({e.Message})");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or ArgumentException)
        {
            throw new DataException($"{path}: expects {{\"cases\": [{{\"case\": name, \"op\": operation, sizes...}}]}} ({e.Message})");
        }
    }

    private static BenchCase Read(JsonElement element) => new(
        element.GetProperty("case").GetString() ?? "", element.GetProperty("op").GetString() ?? "",
        element.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Number).ToDictionary(p => p.Name, p => p.Value.GetDouble()));
}
