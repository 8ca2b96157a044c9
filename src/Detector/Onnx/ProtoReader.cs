using System.Buffers.Binary;
using System.Text;

namespace CudaKernels.Detection;

/// <summary>
/// Walks the fields of a protocol buffer message: <see cref="Next"/>, then the one of the values that the field is known to have; a field
/// whose value nobody asks for is passed over. What does not fit the bytes is a <see cref="DataException"/> without the file's name.
/// </summary>
internal ref struct ProtoReader(ReadOnlySpan<byte> message)
{
    private const int Varint = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5;

    private ReadOnlySpan<byte> rest = message;
    private int wireType = -1;

    /// <summary>Number of the field that <see cref="Next"/> found.</summary>
    public int Field { get; private set; }

    /// <summary>False at the end of the message.</summary>
    public bool Next()
    {
        Skip();
        if (rest.IsEmpty)
            return false;
        long key = Number();
        (Field, wireType) = ((int)(key >> 3), (int)(key & 7));
        return true;
    }

    public long Integer()
    {
        Expect(Varint);
        return Number();
    }

    public float Float()
    {
        Expect(Fixed32);
        return BinaryPrimitives.ReadSingleLittleEndian(Take(sizeof(float)));
    }

    public string Text() => Encoding.UTF8.GetString(Bytes());

    public ReadOnlySpan<byte> Bytes()
    {
        Expect(Delimited);
        return Take(Number());
    }

    public ProtoReader Message() => new(Bytes());

    private void Expect(int wanted)
    {
        if (wireType != wanted)
            throw new DataException($"field {Field} expects the wire type {wanted} but has {wireType}");
        wireType = -1;
    }

    private void Skip()
    {
        switch (wireType)
        {
            case -1: break;
            case Varint: Number(); break;
            case Fixed64: Take(sizeof(long)); break;
            case Delimited: Take(Number()); break;
            case Fixed32: Take(sizeof(float)); break;
            default: throw new DataException($"field {Field} has the unknown wire type {wireType}");
        }
        wireType = -1;
    }

    private long Number()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = Take(1)[0];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
                return (long)value;
        }
        throw new DataException($"a number behind field {Field} has more than ten bytes");
    }

    private ReadOnlySpan<byte> Take(long count)
    {
        if (count < 0 || count > rest.Length)
            throw new DataException($"field {Field} needs {count} bytes but {rest.Length} follow");
        var taken = rest[..(int)count];
        rest = rest[(int)count..];
        return taken;
    }
}
