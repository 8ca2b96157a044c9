using System.Text.Json;

namespace CudaKernels.Detection;

/// <summary>
/// The JSON header of a safetensors file: name → {dtype, shape, data_offsets}, and "__metadata__" → strings. Everything a file
/// claims is checked here against its real length before anything is allocated by its word: the tensors must cover the data
/// without overlap and without gap.
/// </summary>
internal sealed class SafeTensorsHeader
{
    private const string MetadataKey = "__metadata__";

    private readonly string path;
    private readonly long dataLength;

    /// <summary>Place and type of one tensor; offsets count from the end of the header.</summary>
    public sealed record Entry(string Name, string DType, int[] Shape, long Begin, long End);

    private SafeTensorsHeader(string path, long dataLength) => (this.path, this.dataLength) = (path, dataLength);

    public Dictionary<string, string> Metadata { get; } = [];

    /// <summary>In the order of their data.</summary>
    public List<Entry> Entries { get; } = [];

    /// <param name="path">Named in every error.</param>
    /// <param name="json">The header's bytes.</param>
    /// <param name="dataLength">Bytes of the file behind the header.</param>
    public static SafeTensorsHeader Parse(string path, ReadOnlyMemory<byte> json, long dataLength)
    {
        var header = new SafeTensorsHeader(path, dataLength);
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 8 });
            header.Read(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string whose escapes are no valid text.
            throw new DataException($"{path}: the safetensors header is not valid JSON: {Quote(e.Message)}", e);
        }
        header.CheckCoverage();
        return header;
    }

    /// <summary>A name for a message: on one line and of bearable length, whatever a file put into it.</summary>
    public static string Quote(string name) => '"' + JsonEncodedText.Encode(name.Length > 100 ? name[..100] + "..." : name, System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping).Value + '"';

    private void Read(JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw new DataException($"{path}: the safetensors header must be a JSON object but is {root.ValueKind}");
        var names = new HashSet<string>();
        foreach (var property in root.EnumerateObject())
        {
            if (!names.Add(property.Name))
                throw new DataException($"{path}: tensor {Quote(property.Name)} stands twice in the header");
            if (property.Name == MetadataKey)
                ReadMetadata(property.Value);
            else
                Entries.Add(ReadEntry(property.Name, property.Value));
        }
    }

    private void ReadMetadata(JsonElement metadata)
    {
        if (metadata.ValueKind != JsonValueKind.Object)
            throw new DataException($"{path}: {MetadataKey} must be an object of strings but is {metadata.ValueKind}");
        foreach (var item in metadata.EnumerateObject())
        {
            if (item.Value.ValueKind != JsonValueKind.String)
                throw new DataException($"{path}: {MetadataKey} {Quote(item.Name)} must be a string but is {item.Value.ValueKind}");
            if (!Metadata.TryAdd(item.Name, item.Value.GetString()!))
                throw new DataException($"{path}: {MetadataKey} {Quote(item.Name)} stands twice in the header");
        }
    }

    private Entry ReadEntry(string name, JsonElement entry)
    {
        if (entry.ValueKind != JsonValueKind.Object)
            throw Bad(name, $"must be an object with dtype, shape and data_offsets but is {entry.ValueKind}");
        if (!entry.TryGetProperty("dtype", out var typeElement) || typeElement.ValueKind != JsonValueKind.String)
            throw Bad(name, "has no dtype");
        string type = typeElement.GetString()!;
        int size = SafeTensor.SizeOf(type);
        if (size == 0)
            throw Bad(name, $"has the unknown dtype {Quote(type)}");
        long[] offsets = Numbers(name, entry, "data_offsets", long.MaxValue);
        if (offsets.Length != 2)
            throw Bad(name, $"data_offsets must be two numbers but are {offsets.Length}");
        int[] shape = Array.ConvertAll(Numbers(name, entry, "shape", int.MaxValue), value => (int)value);
        var (begin, end) = (offsets[0], offsets[1]);
        if (begin > end)
            throw Bad(name, $"ends at {end}, before it begins at {begin}");
        if (end > dataLength)
            throw Bad(name, $"needs bytes {begin} to {end} of the data but the file has only {dataLength}; the file is cut or damaged");
        UInt128 bytes = (UInt128)size;
        foreach (int dimension in shape)
        {
            bytes *= (UInt128)dimension;
            if (bytes > long.MaxValue)
                throw Bad(name, $"of shape [{string.Join(',', shape)}] is too large");
        }
        if (bytes != (UInt128)(end - begin))
            throw Bad(name, $"is {type} of shape [{string.Join(',', shape)}], which takes {bytes} bytes, but its data_offsets span {end - begin}");
        if (end - begin > Array.MaxLength)
            throw Bad(name, $"has {end - begin} bytes; one tensor may have at most {Array.MaxLength}");
        return new Entry(name, type, shape, begin, end);
    }

    private long[] Numbers(string name, JsonElement entry, string key, long largest)
    {
        if (!entry.TryGetProperty(key, out var list) || list.ValueKind != JsonValueKind.Array)
            throw Bad(name, $"has no list {key}");
        var values = new long[list.GetArrayLength()];
        int i = 0;
        foreach (var item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out values[i]) || values[i] < 0 || values[i] > largest)
                throw Bad(name, $"{key} must hold whole numbers from 0 to {largest} but holds {Quote(item.ToString())}");
            i++;
        }
        return values;
    }

    private void CheckCoverage()
    {
        Entries.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        long reached = 0;
        string before = "the header";
        foreach (var entry in Entries)
        {
            if (entry.Begin < reached)
                throw Bad(entry.Name, $"overlaps {before}: it begins at byte {entry.Begin}, that ends at {reached}");
            if (entry.Begin > reached)
                throw Bad(entry.Name, $"begins at byte {entry.Begin} but {before} ends at {reached}; the bytes between belong to no tensor");
            (reached, before) = (entry.End, "tensor " + Quote(entry.Name));
        }
        if (reached != dataLength)
            throw new DataException($"{path}: {dataLength - reached} bytes behind {before} belong to no tensor");
    }

    private DataException Bad(string name, string what) => new($"{path}: tensor {Quote(name)} {what}");
}
