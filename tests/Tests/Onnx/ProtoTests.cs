using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

public class ProtoTests
{
    [Fact]
    public void TheExamplesOfTheEncodingsDocumentation()
    {
        Assert.Equal([0x08, 0x96, 0x01], Bytes(new ProtoWriter().Integer(1, 150)));
        Assert.Equal([0x12, 0x07, .. "testing"u8], Bytes(new ProtoWriter().Text(2, "testing")));
        Assert.Equal([0x1A, 0x03, 0x08, 0x96, 0x01], Bytes(new ProtoWriter().Message(3, new ProtoWriter().Integer(1, 150))));
        Assert.Equal([0x25, 0x00, 0x00, 0x80, 0x3F], Bytes(new ProtoWriter().Float(4, 1)));
        Assert.Equal(11, Bytes(new ProtoWriter().Integer(1, -1)).Length);
        Assert.Equal([0xA0, 0x01, 0x00], Bytes(new ProtoWriter().Integer(20, 0)));
    }

    [Fact]
    public void WhatIsWrittenIsReadAndOtherFieldsArePassedOver()
    {
        var reader = new ProtoReader(Bytes(new ProtoWriter().Integer(9, 7).Float(8, 2).Text(7, "left out").Message(6, new ProtoWriter().Integer(1, long.MinValue))
            .Float(5, -0.5f).Text(4, "größe").Integer(3, long.MaxValue)));
        var found = new List<object>();
        while (reader.Next())
            switch (reader.Field)
            {
                case 3: found.Add(reader.Integer()); break;
                case 4: found.Add(reader.Text()); break;
                case 5: found.Add(reader.Float()); break;
                case 6:
                    var inner = reader.Message();
                    Assert.True(inner.Next());
                    found.Add(inner.Integer());
                    Assert.False(inner.Next());
                    break;
            }
        Assert.Equal([long.MinValue, -0.5f, "größe", long.MaxValue], found);
    }

    [Theory]
    [InlineData("needs 7 bytes but 2 follow", 0x12, 0x07, 0x41, 0x42)]
    [InlineData("needs 1 bytes but 0 follow", 0x08, 0x96)]
    [InlineData("needs 4 bytes but 1 follow", 0x25, 0x00)]
    [InlineData("needs -1 bytes", 0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01)]
    [InlineData("more than ten bytes", 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01)]
    [InlineData("unknown wire type 3", 0x0B)]
    public void DamageIsNamed(string expected, params int[] bytes)
    {
        byte[] message = Array.ConvertAll(bytes, b => (byte)b);
        Assert.Contains(expected, Assert.Throws<DataException>(() => ReadAll(message)).Message);
    }

    [Fact]
    public void AFieldOfAnotherTypeIsNamed() => Assert.Contains("field 1 expects the wire type 2 but has 0", Assert.Throws<DataException>(() =>
    {
        var reader = new ProtoReader([0x08, 0x01]);
        reader.Next();
        reader.Text();
    }).Message);

    private static void ReadAll(byte[] message)
    {
        var reader = new ProtoReader(message);
        while (reader.Next())
        {
        }
    }

    private static byte[] Bytes(ProtoWriter message)
    {
        using var stream = new MemoryStream();
        message.CopyTo(stream);
        Assert.Equal(message.Length, stream.Length);
        return stream.ToArray();
    }
}
