using System.Text.Json;
using System.Text.Json.Serialization;

namespace CudaKernels.Detection;

/// <summary>The parts of a COCO instances file that matter here, as they stand in the file; every member may be absent.</summary>
internal sealed class CocoJson
{
    [JsonPropertyName("images")]
    public List<CocoJsonImage?>? Images { get; set; }

    [JsonPropertyName("annotations")]
    public List<CocoJsonAnnotation?>? Annotations { get; set; }

    [JsonPropertyName("categories")]
    public List<CocoJsonCategory?>? Categories { get; set; }

    /// <summary>Reads a file.</summary>
    /// <exception cref="DataException">Missing, unreadable or not JSON of this shape; names the file, the line and the key.</exception>
    public static CocoJson Load(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            return JsonSerializer.Deserialize<CocoJson>(file) ?? throw new DataException($"{path}: holds only null, expected COCO annotations");
        }
        catch (JsonException error)
        {
            var text = error.Message;
            if (text.IndexOf(" Path: ", StringComparison.Ordinal) is var end and > 0) text = text[..end];
            if (text.StartsWith("The JSON value could not be converted", StringComparison.Ordinal)) text = "the value is of another kind than COCO annotations have here";
            var key = error.Path is { Length: > 1 } where ? $", {where}" : "";
            throw new DataException($"{path}: line {error.LineNumber + 1}{key}: not readable as COCO JSON: {text}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException(File.Exists(path) ? $"{path}: cannot read the annotations: {error.Message}" : $"{path}: the annotation file does not exist", error);
        }
    }
}

internal sealed class CocoJsonImage
{
    [JsonPropertyName("id")]
    public long? Id { get; set; }

    [JsonPropertyName("file_name")]
    public string? FileName { get; set; }

    [JsonPropertyName("width")]
    public int? Width { get; set; }

    [JsonPropertyName("height")]
    public int? Height { get; set; }
}

internal sealed class CocoJsonAnnotation
{
    [JsonPropertyName("id")]
    public long? Id { get; set; }

    [JsonPropertyName("image_id")]
    public long? ImageId { get; set; }

    [JsonPropertyName("category_id")]
    public long? CategoryId { get; set; }

    [JsonPropertyName("bbox")]
    public double[]? Box { get; set; }

    [JsonPropertyName("area")]
    public double? Area { get; set; }

    [JsonPropertyName("iscrowd")]
    public int Crowd { get; set; }

    [JsonPropertyName("difficult")]
    public int Difficult { get; set; }

    [JsonPropertyName("segmentation")]
    [JsonConverter(typeof(SegmentationConverter))]
    public Segmentation? Segmentation { get; set; }
}

internal sealed class CocoJsonCategory
{
    [JsonPropertyName("id")]
    public long? Id { get; set; }

    [JsonPropertyName("name")]
    public string? Name { get; set; }
}

/// <summary>A list of polygons, or {"size": [height, width], "counts": list or string}; an empty list means no outline.</summary>
internal sealed class SegmentationConverter : JsonConverter<Segmentation>
{
    public override Segmentation? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.StartArray)
        {
            var polygons = JsonSerializer.Deserialize<double[][]>(ref reader, options)!;
            return polygons.Length == 0 ? null : Segmentation.FromPolygons(polygons);
        }

        if (reader.TokenType != JsonTokenType.StartObject) throw new JsonException("a segmentation is a list of polygons or an object with size and counts");
        using var mask = JsonDocument.ParseValue(ref reader);
        if (!mask.RootElement.TryGetProperty("size", out var size) || size.ValueKind != JsonValueKind.Array || size.GetArrayLength() != 2
            || !size[0].TryGetInt32(out var height) || !size[1].TryGetInt32(out var width) || !mask.RootElement.TryGetProperty("counts", out var counts))
            throw new JsonException("a segmentation object needs size [height, width] and counts");
        return counts.ValueKind switch
        {
            JsonValueKind.String => Segmentation.FromCounts(height, width, counts.GetString()!),
            JsonValueKind.Array => Segmentation.FromRuns(height, width, [.. counts.EnumerateArray().Select(Run)]),
            _ => throw new JsonException("the counts of a segmentation are a list of integers or a string"),
        };
    }

    public override void Write(Utf8JsonWriter writer, Segmentation value, JsonSerializerOptions options) =>
        throw new NotSupportedException("SegmentationConverter: segmentations are read, never written");

    private static long Run(JsonElement element) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out var run) ? run : throw new JsonException("a run length must be an integer");
}
