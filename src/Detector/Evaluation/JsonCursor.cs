using System.Text.Json;

namespace CudaKernels.Detection;

/// Walks a JSON file token by token and remembers where it is, so that every complaint names file, entry and key.
internal ref struct JsonCursor
{
    private readonly string path;
    private Utf8JsonReader reader;
    private string section = "";
    private int index = -1;
    private string key = "";

    public delegate void ItemReader(ref JsonCursor item);

    private JsonCursor(string path, byte[] bytes)
    {
        this.path = path;
        var text = bytes.AsSpan();
        reader = new Utf8JsonReader(text.StartsWith("\uFEFF"u8) ? text[3..] : text);
    }

    public static JsonCursor Open(string path)
    {
        try
        {
            return new JsonCursor(path, File.ReadAllBytes(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DataException(Directory.Exists(path) ? $"{path}: is a folder, a JSON file is expected" : $"{path}: cannot be read ({error.Message})", error);
        }
    }

    /// Reads the array that comes next; `read` is called at the start of each of its objects and must consume it with NextKey.
    public void EachObject(string name, ItemReader read)
    {
        Expect(JsonTokenType.StartArray, $"a list of {name} objects");
        section = name;
        for (index = 0; ; index++)
        {
            key = "";
            Advance();
            if (reader.TokenType == JsonTokenType.EndArray) break;
            if (reader.TokenType != JsonTokenType.StartObject) throw Unexpected("an object");
            read(ref this);
        }
        (section, index, key) = ("", -1, "");
    }

    /// Moves to the next key of the current object; false at its end.
    public bool NextKey(out string name)
    {
        Advance();
        var more = reader.TokenType == JsonTokenType.PropertyName;
        name = key = more ? CurrentText() : "";
        return more;
    }

    public void Skip()
    {
        Advance();
        try
        {
            reader.Skip();
        }
        catch (JsonException error)
        {
            throw NotJson(error);
        }
    }

    public void Expect(JsonTokenType type, string description)
    {
        Advance();
        if (reader.TokenType != type) throw Unexpected(description);
    }

    public long Integer()
    {
        Advance();
        if (reader.TokenType == JsonTokenType.Number)
        {
            if (reader.TryGetInt64(out var value)) return value;
            var number = reader.GetDouble();
            if (number == Math.Floor(number) && Math.Abs(number) < 1L << 53) return (long)number;
        }
        throw Unexpected("an integer");
    }

    public double Number()
    {
        Advance();
        return CurrentNumber();
    }

    public string Text()
    {
        Expect(JsonTokenType.String, "a text");
        return CurrentText();
    }

    /// [x, y, width, height] with width and height not below 0.
    public double[] Box()
    {
        Expect(JsonTokenType.StartArray, "four numbers x, y, width, height");
        var box = CurrentNumbers();
        if (box.Length != 4) throw Error($"{key} needs four numbers x, y, width, height, got {box.Length}");
        if (box[2] < 0 || box[3] < 0) throw Error($"{key} has a negative width or height: {string.Join(", ", box)}");
        return box;
    }

    /// Polygons [[x, y, ...], ...] or {"size": [height, width], "counts": string or list}.
    public CocoSegmentation Segmentation()
    {
        Advance();
        if (reader.TokenType == JsonTokenType.StartObject) return new CocoSegmentation(null, CurrentMask());
        if (reader.TokenType != JsonTokenType.StartArray) throw Unexpected("polygons or a run-length mask");
        var polygons = new List<double[]>();
        for (Advance(); reader.TokenType != JsonTokenType.EndArray; Advance())
        {
            if (reader.TokenType != JsonTokenType.StartArray) throw Unexpected("a polygon, a list of numbers");
            var polygon = CurrentNumbers();
            if (polygon.Length < 2 || polygon.Length % 2 != 0) throw Error($"{key} has a polygon of {polygon.Length} numbers; pairs of x and y are expected");
            polygons.Add(polygon);
        }
        if (polygons.Count == 0) throw Error($"{key} is empty");
        return new CocoSegmentation(polygons, null);
    }

    public readonly long Required(long? value, string name) => value ?? throw Missing(name);

    public readonly DataException Missing(string name) => new($"{path}: {Entry()}the key {name} is missing");

    public readonly DataException Error(string problem) => new($"{path}: {Entry()}{problem}");

    /// Nothing may follow the value.
    public void End()
    {
        try
        {
            if (reader.Read()) throw Error("the file goes on after its end");
        }
        catch (JsonException error)
        {
            throw NotJson(error);
        }
    }

    private Rle CurrentMask()
    {
        double[]? size = null;
        string? text = null;
        long[]? counts = null;
        while (NextKey(out var name))
        {
            if (name == "size")
            {
                Expect(JsonTokenType.StartArray, "height and width");
                size = CurrentNumbers();
            }
            else if (name == "counts")
            {
                Advance();
                if (reader.TokenType == JsonTokenType.String) text = CurrentText();
                else if (reader.TokenType == JsonTokenType.StartArray) counts = Array.ConvertAll(CurrentNumbers(), number => (long)number);
                else throw Unexpected("a run-length text or list");
            }
            else
            {
                Skip();
            }
        }
        key = "segmentation";
        if (size is not [>= 0 and <= int.MaxValue, >= 0 and <= int.MaxValue]) throw Error("the size of the run-length mask must be height and width");
        var (height, width) = ((int)size[0], (int)size[1]);
        try
        {
            return text is not null ? Rle.Parse(text, height, width) : new Rle(height, width, counts ?? throw Missing("counts"));
        }
        catch (FormatException error)
        {
            throw new DataException($"{path}: {Entry()}{error.Message}", error);
        }
    }

    private readonly string CurrentText()
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException error)
        {
            throw new DataException($"{path}: {Entry()}a text is not valid UTF-8", error);
        }
    }

    private double[] CurrentNumbers()
    {
        var numbers = new List<double>();
        for (Advance(); reader.TokenType != JsonTokenType.EndArray; Advance()) numbers.Add(CurrentNumber());
        return [.. numbers];
    }

    private readonly double CurrentNumber()
    {
        if (reader.TokenType != JsonTokenType.Number) throw Unexpected("a number");
        var value = reader.GetDouble();
        return double.IsFinite(value) ? value : throw Error($"{key} is too large a number");
    }

    private void Advance()
    {
        try
        {
            if (!reader.Read()) throw Error("the file ends too early");
        }
        catch (JsonException error)
        {
            throw NotJson(error);
        }
    }

    private readonly DataException NotJson(JsonException error) => new(
        $"{path}: {Entry()}not valid JSON at line {error.LineNumber + 1}, byte {error.BytePositionInLine + 1} (NaN and Infinity are not JSON either)", error);

    private readonly DataException Unexpected(string expected) =>
        Error($"{(key.Length > 0 ? key + " must be " : "expected ")}{expected}, found {Describe(reader.TokenType)}");

    private static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "a list",
        JsonTokenType.String => "a text",
        JsonTokenType.Number => "a number",
        JsonTokenType.Null => "null",
        JsonTokenType.True or JsonTokenType.False => "true or false",
        _ => "the end of the list",
    };

    private readonly string Entry() => section.Length > 0 ? $"{section}[{index}]: " : "";
}
