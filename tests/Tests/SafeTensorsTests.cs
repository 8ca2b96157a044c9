using CudaKernels.Detection;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>Reading and writing safetensors: every type, round trips, and files that lie.</summary>
public sealed class SafeTensorsTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("safetensors").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void ReadsEveryType()
    {
        var file = SafeTensorsFile.Read(Corpus("good"));
        Assert.Equal("größe", file.Metadata["note"]);
        Assert.Equal(["half", "brain", "single", "double", "long", "int", "byte", "flag", "empty", "scalar"], file.Tensors.Select(tensor => tensor.Name));
        foreach (var (name, shape, values) in ((string, int[], float[])[])[
            ("half", [2], [1.5f, -2]), ("brain", [2], [1, -2]), ("single", [2, 1], [0.25f, -3]), ("double", [1], [1e-3f]), ("long", [1], [-7]),
            ("int", [2], [5, -6]), ("byte", [3], [0, 127, 255]), ("empty", [0, 3], []), ("scalar", [], [42])])
        {
            Assert.True(file.TryGet(name, out var tensor));
            Assert.Equal(shape, tensor.Shape);
            Assert.Equal(values, tensor.ToFloats());
            Assert.Equal(values.Length, tensor.Length);
        }
        Assert.True(file.TryGet("flag", out var flag));
        Assert.Contains("tensor \"flag\" has type BOOL", Assert.Throws<DataException>(() => flag.ToFloats()).Message);
        Assert.False(file.TryGet("absent", out _));
        Assert.Null(file.FirstNonFinite());
    }

    [Fact]
    public void NamesTheTensorThatIsNotFinite()
    {
        Assert.Equal("weight", SafeTensorsFile.Read(Corpus("not-a-number")).FirstNonFinite()!.Name);
    }

    public static TheoryData<string, string> Damaged => new()
    {
        { "empty-file", "has 0 bytes" },
        { "five-bytes", "has 5 bytes" },
        { "header-of-two-to-the-63", "claims a header of 9223372036854775808 bytes, more than" },
        { "header-above-the-cap", "claims a header of 100000001 bytes, more than" },
        { "header-beyond-the-file", "claims a header of 4096 bytes but only 5 follow" },
        { "not-json", "header is not valid JSON" },
        { "json-cut", "header is not valid JSON" },
        { "json-array", "must be a JSON object but is Array" },
        { "json-deep", "header is not valid JSON" },
        { "bad-utf8", "header is not valid JSON" },
        { "lone-surrogate", "header is not valid JSON" },
        { "newline-in-name", "tensor \"a\\nb\" is F32 of shape [1], which takes 4 bytes, but its data_offsets span 8" },
        { "entry-not-object", "tensor \"a\" must be an object" },
        { "no-dtype", "tensor \"a\" has no dtype" },
        { "unknown-dtype", "tensor \"a\" has the unknown dtype \"F31\"" },
        { "no-shape", "tensor \"a\" has no list shape" },
        { "negative-dimension", "tensor \"a\" shape must hold whole numbers from 0 to 2147483647 but holds \"-1\"" },
        { "fractional-dimension", "but holds \"1.5\"" },
        { "huge-dimension", "but holds \"4294967296\"" },
        { "product-overflows", "is too large" },
        { "one-offset", "data_offsets must be two numbers but are 1" },
        { "ends-before-it-begins", "ends at 0, before it begins at 4" },
        { "shape-and-bytes-differ", "which takes 12 bytes, but its data_offsets span 8" },
        { "data-cut", "tensor \"b\" needs bytes 4 to 404 of the data but the file has only 100" },
        { "petabyte", "but the file has only 8" },
        { "overlap", "tensor \"b\" overlaps tensor \"a\"" },
        { "gap", "tensor \"b\" begins at byte 8 but tensor \"a\" ends at 4" },
        { "gap-at-the-start", "tensor \"a\" begins at byte 4 but the header ends at 0" },
        { "bytes-behind", "5 bytes behind tensor \"a\" belong to no tensor" },
        { "twice", "tensor \"a\" stands twice" },
        { "metadata-number", "__metadata__ \"epoch\" must be a string but is Number" },
        { "metadata-list", "__metadata__ must be an object" },
        { "metadata-twice", "__metadata__ \"a\" stands twice" },
    };

    [Theory]
    [MemberData(nameof(Damaged))]
    public void DamagedFilesGiveOneLine(string name, string says)
    {
        string path = Corpus(name);
        string message = Assert.Throws<DataException>(() => SafeTensorsFile.Read(path)).Message;
        Assert.StartsWith(path + ": ", message);
        Assert.Contains(says, message);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void AbsentFilesAndFoldersGiveOneLine()
    {
        Assert.Contains("cannot be read", Assert.Throws<DataException>(() => SafeTensorsFile.Read(Path.Combine(folder, "absent"))).Message);
        Assert.Contains("cannot be read", Assert.Throws<DataException>(() => SafeTensorsFile.Read(folder)).Message);
    }

    /// <summary>Every cut and every changed byte of a header either reads or gives a DataException.</summary>
    [Fact]
    public void CutAndChangedFilesNeverCrash()
    {
        byte[] good = File.ReadAllBytes(Corpus("good"));
        string path = Path.Combine(folder, "changed.safetensors");
        for (int length = 0; length < good.Length; length++)
        {
            File.WriteAllBytes(path, good[..length]);
            Assert.Throws<DataException>(() => SafeTensorsFile.Read(path));
        }
        var random = new Random(1);
        for (int round = 0; round < 800; round++)
        {
            var changed = (byte[])good.Clone();
            for (int i = random.Next(1, 4); i > 0; i--)
                changed[random.Next(good.Length)] = (byte)(random.Next(2) == 0 ? "0123456789{}[]\",:"[random.Next(17)] : random.Next(256));
            File.WriteAllBytes(path, changed);
            try
            {
                Assert.NotNull(SafeTensorsFile.Read(path));
            }
            catch (DataException e)
            {
                Assert.StartsWith(path, e.Message);
            }
        }
    }

    [Fact]
    public void RoundTripKeepsEveryBit()
    {
        string path = Path.Combine(folder, "round.safetensors");
        float[] values = [1, -0f, float.NaN, float.NegativeInfinity, float.Epsilon, 3e38f];
        var metadata = new Dictionary<string, string> { ["z"] = "last \"quoted\"", ["a"] = "größe\n" };
        SafeTensorsFile.Write(path, [("layer.weight", [2, 3], values), ("nothing", [0], default), ("one", [], new float[] { 7 })], metadata);
        var file = SafeTensorsFile.Read(path);
        Assert.Equal(metadata.OrderBy(item => item.Key, StringComparer.Ordinal), file.Metadata);
        Assert.Equal(["layer.weight", "nothing", "one"], file.Tensors.Select(tensor => tensor.Name));
        Assert.Equal([2, 3], file.Tensors[0].Shape);
        Assert.Equal(Array.ConvertAll(values, BitConverter.SingleToInt32Bits), Array.ConvertAll(file.Tensors[0].ToFloats(), BitConverter.SingleToInt32Bits));
        Assert.Equal([0], file.Tensors[1].Shape);
        Assert.Equal([7], file.Tensors[2].ToFloats());
        Assert.Equal(0, BitConverter.ToInt64(File.ReadAllBytes(path)) % 8);
        Assert.Equal([path], Directory.GetFiles(folder));
        Assert.Equal(7, GoldenFile.Load(path).F32("one")[0]); // the tests' own reader agrees
    }

    [Fact]
    public void ReadsTheGoldenFiles()
    {
        foreach (string path in GoldenFolder.Cases("deform_conv2d"))
        {
            var golden = GoldenFile.Load(path);
            var file = SafeTensorsFile.Read(path);
            Assert.Equal(golden.Metadata, file.Metadata);
            Assert.Equal(golden.Names.Order(), file.Tensors.Select(tensor => tensor.Name).Order());
            foreach (var tensor in file.Tensors)
            {
                Assert.Equal(golden.Shape(tensor.Name), tensor.Shape);
                Assert.Equal(golden.Type(tensor.Name) == "F64" ? Array.ConvertAll(golden.F64(tensor.Name), value => (float)value) : golden.F32(tensor.Name), tensor.ToFloats());
            }
        }
    }

    [Fact]
    public void WrongUseOfWriteIsNamed()
    {
        using var stream = new MemoryStream();
        float[] two = [1, 2];
        Assert.Contains("\"a\" stands twice", Assert.Throws<ArgumentException>(() => SafeTensorsFile.Write(stream, [("a", [2], two), ("a", [2], two)])).Message);
        Assert.Contains("\"a\" of shape [3] has 2 values", Assert.Throws<ArgumentException>(() => SafeTensorsFile.Write(stream, [("a", [3], two)])).Message);
        Assert.Equal(0, stream.Length);
    }

    [Fact]
    public void AFailedWriteLeavesTheOldFile()
    {
        string path = Path.Combine(folder, "last.safetensors");
        AtomicFile.Write(path, stream => stream.Write("old"u8));
        string message = Assert.Throws<DataException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[1 << 17]);
            throw new IOException("No space left on device");
        })).Message;
        Assert.Equal($"{path}: cannot be written: No space left on device; the file there is still the earlier one", message);
        Assert.Throws<ArgumentException>(() => AtomicFile.Write(path, _ => throw new ArgumentException("a mistake in the program stays one")));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder));

        AtomicFile.Write(path, stream => stream.Write("new"u8));
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder));
    }

    [Fact]
    public void UnwritablePlacesGiveOneLine()
    {
        string absent = Path.Combine(folder, "absent", "last.safetensors");
        Assert.Contains("cannot be written", Assert.Throws<DataException>(() => AtomicFile.Write(absent, _ => { })).Message);
        string taken = Path.Combine(folder, "taken");
        Directory.CreateDirectory(taken);
        Assert.Contains("cannot be written", Assert.Throws<DataException>(() => AtomicFile.Write(taken, _ => { })).Message);
        Assert.Empty(Directory.GetFiles(folder));
    }

    [Fact]
    public void WhatAKilledWriterLeftIsReplaced()
    {
        string path = Path.Combine(folder, "last.safetensors");
        File.WriteAllText(path + ".writing", "half of a file that was never finished");
        AtomicFile.Write(path, stream => stream.Write("whole"u8));
        Assert.Equal("whole", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder));
    }

    private static string Corpus(string name) => Path.Combine(GoldenFolder.RepositoryRoot, "tests", "Corpus", "safetensors", name + ".safetensors");
}
