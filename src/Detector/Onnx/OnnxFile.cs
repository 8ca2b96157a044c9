using System.Globalization;
using System.Runtime.InteropServices;

namespace CudaKernels.Detection;

/// <summary>
/// A graph as an ONNX file: the protocol buffer message ModelProto, whose field numbers are those of onnx.proto, written for operator set 19
/// (the first with DeformConv). Reads what it writes; other fields are passed over.
/// </summary>
internal static partial class OnnxFile
{
    private const int FormatVersion = 9, OperatorSet = 19;
    private const int FloatType = 1, IntegerType = 7;

    /// <summary>Numbers that AttributeProto has for the type of its value, which are not those of the field that holds it.</summary>
    private enum AttributeType
    {
        Float = 1,
        Integer = 2,
        Text = 3,
        Integers = 7,
    }

    /// <summary>Writes the file, whole or not at all.</summary>
    /// <exception cref="DataException">The file cannot be written.</exception>
    public static void Write(string path, OnnxGraph graph)
    {
        var model = new ProtoWriter()
            .Integer(1, FormatVersion)
            .Text(2, "cudakernels")
            .Text(3, typeof(OnnxFile).Assembly.GetName().Version!.ToString(3))
            .Message(7, Graph(graph))
            .Message(8, new ProtoWriter().Text(1, "").Integer(2, OperatorSet));
        foreach (var (key, value) in graph.Metadata)
            model.Message(14, new ProtoWriter().Text(1, key).Text(2, value));
        if (model.Length > int.MaxValue)
            throw new DataException($"{path}: the model has {model.Length} bytes; an ONNX file in one piece may have {int.MaxValue}");
        AtomicFile.Write(path, model.CopyTo);
    }

    private static ProtoWriter Graph(OnnxGraph graph)
    {
        var message = new ProtoWriter();
        foreach (var node in graph.Nodes)
            message.Message(1, Node(node));
        message.Text(2, graph.Name);
        foreach (var (name, tensor) in graph.Constants)
            message.Message(5, Tensor(name, tensor));
        foreach (var value in graph.Inputs)
            message.Message(11, Value(value));
        foreach (var value in graph.Outputs)
            message.Message(12, Value(value));
        return message;
    }

    private static ProtoWriter Node(OnnxNode node)
    {
        var message = new ProtoWriter();
        foreach (string input in node.Inputs)
            message.Text(1, input);
        foreach (string output in node.Outputs)
            message.Text(2, output);
        message.Text(3, node.Name).Text(4, node.Type);
        foreach (var (name, value) in node.Attributes)
            message.Message(5, Attribute(name, value));
        return message;
    }

    private static ProtoWriter Attribute(string name, object value)
    {
        var message = new ProtoWriter().Text(1, name);
        switch (value)
        {
            case float number:
                return message.Float(2, number).Integer(20, (long)AttributeType.Float);
            case long number:
                return message.Integer(3, number).Integer(20, (long)AttributeType.Integer);
            case string text:
                return message.Text(4, text).Integer(20, (long)AttributeType.Text);
            case long[] numbers:
                foreach (long number in numbers)
                    message.Integer(8, number);
                return message.Integer(20, (long)AttributeType.Integers);
            default:
                throw new ArgumentException($"OnnxFile.Write: the attribute {name} is a {value.GetType().Name}", nameof(value));
        }
    }

    private static ProtoWriter Tensor(string name, OnnxTensor tensor)
    {
        var message = new ProtoWriter();
        foreach (int size in tensor.Shape)
            message.Integer(1, size);
        bool integers = tensor.Integers.Length > 0;
        return message.Integer(2, integers ? IntegerType : FloatType).Text(8, name)
            .Bytes(9, integers ? MemoryMarshal.AsBytes(tensor.Integers.AsSpan()).ToArray() : MemoryMarshal.AsBytes(tensor.Floats.AsSpan()).ToArray());
    }

    private static ProtoWriter Value(OnnxValue value)
    {
        var shape = new ProtoWriter();
        foreach (string dimension in value.Dimensions)
            shape.Message(1, long.TryParse(dimension, CultureInfo.InvariantCulture, out long size) ? new ProtoWriter().Integer(1, size) : new ProtoWriter().Text(2, dimension));
        var tensor = new ProtoWriter().Integer(1, FloatType).Message(2, shape);
        return new ProtoWriter().Text(1, value.Name).Message(2, new ProtoWriter().Message(1, tensor)).Text(3, value.Description);
    }
}
