using System.Buffers.Binary;
using System.Text;

namespace CudaKernels.Detection;

/// <summary>
/// Writes a protocol buffer message: fields of (number · 8 + wire type) and a value, whose integers have seven bits a byte, the lowest first.
/// Source: the encoding chapter of the protocol buffer documentation. A message inside another is written first and put behind its length;
/// bytes are kept by reference until <see cref="CopyTo"/>, so large arrays are not copied.
/// </summary>
internal sealed class ProtoWriter
{
    private const int Varint = 0, Delimited = 2, Fixed32 = 5;

    private readonly List<ReadOnlyMemory<byte>> parts = [];

    public long Length { get; private set; }

    public ProtoWriter Integer(int field, long value) => Key(field, Varint).Number(value);

    public ProtoWriter Float(int field, float value)
    {
        var bytes = new byte[sizeof(float)];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        return Key(field, Fixed32).Append(bytes);
    }

    public ProtoWriter Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    /// <param name="field">Number of the field.</param>
    /// <param name="value">Must not change before the message is copied to its stream.</param>
    public ProtoWriter Bytes(int field, ReadOnlyMemory<byte> value) => Key(field, Delimited).Number(value.Length).Append(value);

    public ProtoWriter Message(int field, ProtoWriter message)
    {
        Key(field, Delimited).Number(message.Length);
        parts.AddRange(message.parts);
        Length += message.Length;
        return this;
    }

    public void CopyTo(Stream stream)
    {
        foreach (var part in parts)
            stream.Write(part.Span);
    }

    private ProtoWriter Key(int field, int wireType) => Number((long)field << 3 | (long)wireType);

    private ProtoWriter Number(long value)
    {
        var bytes = new List<byte>(1);
        ulong rest = (ulong)value;
        for (; rest >= 0x80; rest >>= 7)
            bytes.Add((byte)(rest | 0x80));
        bytes.Add((byte)rest);
        return Append(bytes.ToArray());
    }

    private ProtoWriter Append(ReadOnlyMemory<byte> bytes)
    {
        parts.Add(bytes);
        Length += bytes.Length;
        return this;
    }
}
