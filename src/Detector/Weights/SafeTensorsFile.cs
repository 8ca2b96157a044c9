using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace CudaKernels.Detection;

/// <summary>
/// Named arrays in one file: 8 bytes little-endian header length, a JSON header (<see cref="SafeTensorsHeader"/>), the arrays one
/// after the other. Source: the safetensors format description of its authors. A file is read as data only, and a damaged or
/// hostile one gives a <see cref="DataException"/> that names the file and the tensor.
/// </summary>
internal sealed class SafeTensorsFile
{
    private const int LongestHeader = 100_000_000;

    private readonly Dictionary<string, SafeTensor> byName = [];

    private SafeTensorsFile(string path, IReadOnlyDictionary<string, string> metadata, IReadOnlyList<SafeTensor> tensors)
    {
        (Path, Metadata, Tensors) = (path, metadata, tensors);
        foreach (var tensor in tensors)
            byName.Add(tensor.Name, tensor);
    }

    public string Path { get; }

    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>In the order of their data.</summary>
    public IReadOnlyList<SafeTensor> Tensors { get; }

    public bool TryGet(string name, [MaybeNullWhen(false)] out SafeTensor tensor) => byName.TryGetValue(name, out tensor);

    /// <summary>The first tensor that holds a NaN or an infinity, for loaders to refuse by name; null when there is none.</summary>
    public SafeTensor? FirstNonFinite() => Tensors.FirstOrDefault(tensor => tensor.HasNonFinite());

    /// <summary>Reads a file whole.</summary>
    /// <exception cref="DataException">The file cannot be read, is cut, or is not a consistent safetensors file.</exception>
    public static SafeTensorsFile Read(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            return Read(path, stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new DataException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Writes float32 tensors in the order given; <see cref="AtomicFile"/> says what a failure leaves.</summary>
    public static void Write(
        string path, IEnumerable<(string Name, int[] Shape, ReadOnlyMemory<float> Values)> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        AtomicFile.Write(path, stream => Write(stream, tensors, metadata));

    /// <inheritdoc cref="Write(string, IEnumerable{ValueTuple{string, int[], ReadOnlyMemory{float}}}, IReadOnlyDictionary{string, string}?)"/>
    /// <exception cref="ArgumentException">A name stands twice, or a shape does not fit its values.</exception>
    public static void Write(
        Stream stream, IEnumerable<(string Name, int[] Shape, ReadOnlyMemory<float> Values)> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var list = tensors.ToList();
        byte[] header = Header(list, metadata);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        stream.Write(length);
        stream.Write(header);
        foreach (var (_, _, values) in list)
            stream.Write(MemoryMarshal.AsBytes(values.Span));
    }

    private static SafeTensorsFile Read(string path, FileStream stream)
    {
        long fileLength = stream.Length;
        if (fileLength < 8)
            throw new DataException($"{path}: has {fileLength} bytes; a safetensors file begins with the 8 bytes of its header's length");
        Span<byte> lengthBytes = stackalloc byte[8];
        stream.ReadExactly(lengthBytes);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
        if (headerLength > LongestHeader)
            throw new DataException($"{path}: claims a header of {headerLength} bytes, more than the {LongestHeader} allowed; this is no safetensors file");
        if ((long)headerLength > fileLength - 8)
            throw new DataException($"{path}: claims a header of {headerLength} bytes but only {fileLength - 8} follow; the file is cut or damaged");
        var json = new byte[headerLength];
        stream.ReadExactly(json);
        var header = SafeTensorsHeader.Parse(path, json, fileLength - 8 - (long)headerLength);
        var tensors = new List<SafeTensor>(header.Entries.Count);
        foreach (var entry in header.Entries)
        {
            var data = new byte[entry.End - entry.Begin];
            stream.ReadExactly(data);
            tensors.Add(new SafeTensor(path, entry.Name, entry.DType, entry.Shape, data));
        }
        return new SafeTensorsFile(path, header.Metadata, tensors);
    }

    /// <summary>Metadata in the order of its keys, so that equal content makes equal files; spaces at the end align the data to 8 bytes.</summary>
    private static byte[] Header(List<(string Name, int[] Shape, ReadOnlyMemory<float> Values)> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json))
        {
            writer.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                writer.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata.OrderBy(item => item.Key, StringComparer.Ordinal))
                    writer.WriteString(key, value);
                writer.WriteEndObject();
            }
            var names = new HashSet<string> { "__metadata__" };
            long offset = 0;
            foreach (var (name, shape, values) in tensors)
            {
                if (!names.Add(name))
                    throw new ArgumentException($"SafeTensorsFile.Write: the name {SafeTensorsHeader.Quote(name)} stands twice or is reserved");
                long length = shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
                if (length != values.Length)
                    throw new ArgumentException($"SafeTensorsFile.Write: {SafeTensorsHeader.Quote(name)} of shape [{string.Join(',', shape)}] has {values.Length} values");
                writer.WriteStartObject(name);
                writer.WriteString("dtype", "F32");
                writer.WriteStartArray("shape");
                foreach (int dimension in shape)
                    writer.WriteNumberValue(dimension);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(offset);
                writer.WriteNumberValue(offset += length * sizeof(float));
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        while (json.Length % 8 != 0)
            json.WriteByte((byte)' ');
        return json.ToArray();
    }
}
