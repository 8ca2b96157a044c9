using System.Globalization;
using System.Runtime.InteropServices;

namespace CudaKernels.Detection;

internal static partial class OnnxFile
{
    /// <exception cref="DataException">The file cannot be read, is cut or is none that <see cref="Write"/> makes.</exception>
    public static OnnxGraph Read(string path)
    {
        try
        {
            return ReadModel(new ProtoReader(File.ReadAllBytes(path)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path}: cannot be read: {e.Message}", e);
        }
        catch (DataException e)
        {
            throw new DataException($"{path}: is damaged or no ONNX file of cudakernels: {e.Message}", e);
        }
    }

    private static OnnxGraph ReadModel(ProtoReader message)
    {
        OnnxGraph? graph = null;
        var metadata = new List<(string Key, string Value)>();
        while (message.Next())
            switch (message.Field)
            {
                case 7: graph = ReadGraph(message.Message()); break;
                case 14: metadata.Add(ReadPair(message.Message())); break;
            }
        if (graph is null)
            throw new DataException("it holds no graph");
        foreach (var (key, value) in metadata)
            graph.Metadata[key] = value;
        return graph;
    }

    private static (string, string) ReadPair(ProtoReader message)
    {
        string key = "", value = "";
        while (message.Next())
            switch (message.Field)
            {
                case 1: key = message.Text(); break;
                case 2: value = message.Text(); break;
            }
        return (key, value);
    }

    private static OnnxGraph ReadGraph(ProtoReader message)
    {
        var found = new OnnxGraph("");
        string name = "";
        while (message.Next())
            switch (message.Field)
            {
                case 1: found.Nodes.Add(ReadNode(message.Message())); break;
                case 2: name = message.Text(); break;
                case 5:
                    var (key, tensor) = ReadTensor(message.Message());
                    found.Constants[key] = tensor;
                    break;
                case 11: found.Inputs.Add(ReadValue(message.Message())); break;
                case 12: found.Outputs.Add(ReadValue(message.Message())); break;
            }
        return found with { Name = name };
    }

    private static OnnxNode ReadNode(ProtoReader message)
    {
        List<string> inputs = [], outputs = [];
        string name = "", type = "";
        var attributes = new Dictionary<string, object>();
        while (message.Next())
            switch (message.Field)
            {
                case 1: inputs.Add(message.Text()); break;
                case 2: outputs.Add(message.Text()); break;
                case 3: name = message.Text(); break;
                case 4: type = message.Text(); break;
                case 5:
                    var (key, value) = ReadAttribute(message.Message());
                    attributes[key] = value;
                    break;
            }
        return new(name, type, inputs, outputs, attributes);
    }

    private static (string, object) ReadAttribute(ProtoReader message)
    {
        string name = "", text = "";
        float real = 0;
        long integer = 0, type = 0;
        var integers = new List<long>();
        while (message.Next())
            switch (message.Field)
            {
                case 1: name = message.Text(); break;
                case 2: real = message.Float(); break;
                case 3: integer = message.Integer(); break;
                case 4: text = message.Text(); break;
                case 8: integers.Add(message.Integer()); break;
                case 20: type = message.Integer(); break;
            }
        return (name, (AttributeType)type switch
        {
            AttributeType.Float => real,
            AttributeType.Integer => integer,
            AttributeType.Text => text,
            AttributeType.Integers => integers.ToArray(),
            _ => throw new DataException($"the attribute {name} has the unknown type {type}"),
        });
    }

    private static (string, OnnxTensor) ReadTensor(ProtoReader message)
    {
        var shape = new List<int>();
        string name = "";
        long type = 0;
        ReadOnlySpan<byte> data = default;
        while (message.Next())
            switch (message.Field)
            {
                case 1: shape.Add((int)message.Integer()); break;
                case 2: type = message.Integer(); break;
                case 8: name = message.Text(); break;
                case 9: data = message.Bytes(); break;
            }
        long length = shape.Aggregate(1L, (product, size) => product * size);
        if (length * (type == IntegerType ? sizeof(long) : sizeof(float)) != data.Length)
            throw new DataException($"the constant {name} of shape [{string.Join(',', shape)}] has {data.Length} bytes");
        return (name, type switch
        {
            FloatType => new OnnxTensor([.. shape], MemoryMarshal.Cast<byte, float>(data).ToArray()),
            IntegerType => OnnxTensor.Of(MemoryMarshal.Cast<byte, long>(data).ToArray()),
            _ => throw new DataException($"the constant {name} has the unknown type {type}"),
        });
    }

    private static OnnxValue ReadValue(ProtoReader message)
    {
        string name = "", description = "";
        var dimensions = new List<string>();
        while (message.Next())
            switch (message.Field)
            {
                case 1: name = message.Text(); break;
                case 2: ReadType(message.Message(), dimensions); break;
                case 3: description = message.Text(); break;
            }
        return new(name, dimensions, description);
    }

    /// <summary>TypeProto holds a tensor type (1), that a shape (2), that the dimensions (1): a number (1) or a name (2).</summary>
    private static void ReadType(ProtoReader message, List<string> dimensions)
    {
        while (message.Next())
            if (message.Field == 1)
                for (var tensor = message.Message(); tensor.Next();)
                    if (tensor.Field == 2)
                        for (var shape = tensor.Message(); shape.Next();)
                            for (var dimension = shape.Message(); dimension.Next();)
                                dimensions.Add(dimension.Field == 1 ? dimension.Integer().ToString(CultureInfo.InvariantCulture) : dimension.Text());
    }
}
