using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using CudaKernels.Detection;

namespace CudaKernels.Cli;

/// <summary>One named piece of work from a cases file: an operation and its sizes (NCHW names, square kernels).</summary>
/// <param name="Line">Of the file, where the case begins.</param>
internal sealed record BenchCase(string Name, string Operation, int Line, IReadOnlyDictionary<string, JsonElement> Sizes)
{
    private readonly HashSet<string> read = [];

    /// <summary>The size of that name; a missing one without a default is an error that names the case.</summary>
    public int this[string key, int? fallback = null]
    {
        get
        {
            read.Add(key);
            if (fallback is { } given && !Sizes.ContainsKey(key))
                return given;
            double value = Number(key);
            return value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue ? (int)value
                : throw Wrong(FormattableString.Invariant($"{key} expects a whole number but is {value}"));
        }
    }

    /// <summary>As the indexer, for keys that are no whole numbers.</summary>
    public double Number(string key)
    {
        read.Add(key);
        return !Sizes.TryGetValue(key, out var value) ? throw Wrong($"{Operation} needs the key {key}")
            : value.ValueKind == JsonValueKind.Number ? value.GetDouble()
            : throw Wrong($"{key} expects a number but is {value.GetRawText()}");
    }

    /// <summary>Called once the operation has read its sizes: a key that it did not ask for is a mistake.</summary>
    /// <exception cref="DataException">Names the keys.</exception>
    public void CheckKeys()
    {
        string[] unknown = [.. Sizes.Keys.Where(key => !read.Contains(key))];
        if (unknown.Length > 0)
            throw Wrong($"{Operation} has no key {string.Join(", ", unknown)}; it has {string.Join(", ", read)}");
    }

    /// <summary>
    /// Reads <c>{"cases": [{"case": NAME, "op": OPERATION, sizes...}, ...]}</c>. What is no case goes to <paramref name="wrong"/>, a sentence each,
    /// and the others are read.
    /// </summary>
    public static IReadOnlyList<BenchCase> ReadFile(string path, Action<string> wrong)
    {
        try
        {
            byte[] text = File.ReadAllBytes(path);
            using var document = JsonDocument.Parse(text);
            var cases = new List<BenchCase>();
            foreach (var element in document.RootElement.GetProperty("cases").EnumerateArray())
            {
                text.AsSpan().Overlaps(JsonMarshal.GetRawUtf8Value(element), out int start);
                int line = 1 + text.AsSpan(0, start).Count((byte)'\n');
                if (Text(element, "case") is { } name && Text(element, "op") is { } operation)
                    cases.Add(new(name, operation, line, element.Clone().EnumerateObject().Where(p => p.Name is not ("case" or "op"))
                        .GroupBy(p => p.Name).ToDictionary(g => g.Key, g => g.Last().Value)));
                else
                    wrong($"line {line}: expects {{\"case\": name, \"op\": operation, sizes...}} but is {Encoding.UTF8.GetString(JsonMarshal.GetRawUtf8Value(element))}");
            }
            return cases;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path}: cannot be read ({e.Message})");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DataException($"{path}: expects {{\"cases\": [{{\"case\": name, \"op\": operation, sizes...}}]}} ({e.Message})");
        }
    }

    private static string? Text(JsonElement element, string key) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private DataException Wrong(string what) => new($"line {Line}: case {Name}: {what}");
}
