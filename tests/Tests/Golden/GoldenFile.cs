using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace CudaKernels.Tests;

/// A golden safetensors file, read whole: 8 bytes header length, JSON header, little-endian row-major data.
/// Independent of the library's own reader, so that the two cannot share a mistake.
internal sealed class GoldenFile
{
    private readonly byte[] bytes;
    private readonly string path;
    private readonly Dictionary<string, Entry> entries = [];

    private sealed record Entry(string Type, int[] Shape, int Begin, int End);

    private GoldenFile(string path, byte[] bytes)
    {
        this.path = path;
        this.bytes = bytes;
        var headerLength = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        var data = 8 + headerLength;
        using var header = JsonDocument.Parse(bytes.AsMemory(8, headerLength));
        foreach (var property in header.RootElement.EnumerateObject())
        {
            if (property.Name == "__metadata__")
            {
                foreach (var item in property.Value.EnumerateObject()) Metadata[item.Name] = item.Value.GetString()!;
                continue;
            }
            var offsets = property.Value.GetProperty("data_offsets");
            var shape = property.Value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt32()).ToArray();
            entries[property.Name] = new Entry(
                property.Value.GetProperty("dtype").GetString()!, shape, data + offsets[0].GetInt32(), data + offsets[1].GetInt32());
        }
    }

    public Dictionary<string, string> Metadata { get; } = [];

    public IEnumerable<string> Names => entries.Keys;

    public static GoldenFile Load(string path)
    {
        ResultTrace.Opened(path);
        return new(path, File.ReadAllBytes(path));
    }

    public bool Has(string name) => entries.ContainsKey(name);

    public string Type(string name) => Find(name).Type;

    public int[] Shape(string name) => Find(name).Shape;

    public double[] F64(string name) => Read<double>(name, "F64");

    public float[] F32(string name) => Read<float>(name, "F32");

    public long[] I64(string name) => Read<long>(name, "I64");

    public byte[] U8(string name) => Read<byte>(name, "U8");

    /// Attribute `attr.name` of the metadata as JSON, or null when the file does not carry it.
    public JsonElement? Attribute(string name) =>
        Metadata.TryGetValue("attr." + name, out var text) ? JsonDocument.Parse(text).RootElement : null;

    private T[] Read<T>(string name, string type) where T : unmanaged
    {
        var entry = Find(name);
        if (entry.Type != type) throw new InvalidOperationException($"{path}: {name} is {entry.Type}, asked for {type}");
        return MemoryMarshal.Cast<byte, T>(bytes.AsSpan(entry.Begin, entry.End - entry.Begin)).ToArray();
    }

    private Entry Find(string name) => entries.TryGetValue(name, out var entry)
        ? entry
        : throw new InvalidOperationException($"{path} has no tensor {name}; it has {string.Join(", ", entries.Keys)}");
}
