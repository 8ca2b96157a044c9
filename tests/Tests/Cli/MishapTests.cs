using System.Text.Json.Nodes;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>What goes wrong on the way of a run: it ends with one line, nothing learnt is lost, and it can be gone on with.</summary>
public sealed class MishapTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Theory]
    [InlineData("val")]
    [InlineData("train")]
    public void ABrokenPictureEndsTheRunWithItsNameAndACheckpoint(string split)
    {
        using var folder = new TempFolder();
        string data = CopyData(folder), picture = Directory.GetFiles(Path.Combine(folder["data"], "images", split)).Max()!;
        byte[] whole = File.ReadAllBytes(picture);
        File.WriteAllBytes(picture, whole[..(whole.Length / 2)]);
        string[] train = [.. run.TrainArguments(folder["run"], data), "--epochs", "2"];
        CliProcess.Run(train).Fails(1, picture, "truncated");
        File.WriteAllBytes(picture, whole);
        if (split == "train" && !File.Exists(folder["run/last.safetensors"]))
            return; // the picture came in the first batches, there was nothing to save
        var resumed = CliProcess.Run("train", "--resume", folder["run"]);
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        Assert.Equal([4, 8], Evaluations(folder["run"]));
    }

    [Fact]
    public void EvaluationOfABrokenPictureIsOneLine()
    {
        using var folder = new TempFolder();
        string data = CopyData(folder), picture = Directory.GetFiles(Path.Combine(folder["data"], "images", "val"))[0];
        File.WriteAllText(picture, "no picture");
        var ended = CliProcess.Run("eval", "--weights", run.Best, "--data", data, "--json", "-");
        ended.Fails(1, picture, "is not a picture");
        Assert.Empty(ended.Output);
    }

    [Fact]
    public void ADamagedLogKeepsItsGoodLines()
    {
        using var folder = new TempFolder();
        CopyRun(folder);
        string log = folder["run/metrics.jsonl"];
        string[] good = File.ReadAllLines(log);
        File.WriteAllLines(log, [good[0], "{cut", "{\"type\":\"step\",\"step\":\"x\"}", "{\"type\":1,\"step\":1,\"step\":2}", .. good[1..]]);
        var resumed = CliProcess.Run("train", "--resume", folder["run"]);
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        Assert.Contains("it is complete", resumed.Output);
        Assert.Equal(good, File.ReadAllLines(log));
    }

    [Fact]
    public void ACheckpointOfOtherClassesIsRefused()
    {
        using var folder = new TempFolder();
        CopyRun(folder);
        string data = CopyData(folder);
        foreach (string path in Directory.GetFiles(folder["data/annotations"]))
            File.WriteAllText(path, File.ReadAllText(path).Replace("\"square\"", "\"Größe\""));
        CliProcess.Run("train", "--resume", folder["run"], "--data", data, "epochs=3").Fails(1, "last.safetensors", "square", "Größe");
        CliProcess.Run("train", "--resume", folder["run"], "--model", "ttfnet-18", "epochs=3").Fails(1, "last.safetensors", "ttfnet-nano");
        CliProcess.Run("eval", "--weights", run.Best, "--data", data).Fails(1, "best.safetensors", "Größe");
    }

    [Fact]
    public void ACheckpointWithNaNIsRefused()
    {
        using var folder = new TempFolder();
        CopyRun(folder);
        byte[] bytes = File.ReadAllBytes(folder["run/last.safetensors"]);
        BitConverter.TryWriteBytes(bytes.AsSpan(8 + (int)BitConverter.ToInt64(bytes)), float.NaN);
        File.WriteAllBytes(folder["run/last.safetensors"], bytes);
        CliProcess.Run("train", "--resume", folder["run"], "epochs=3").Fails(1, "last.safetensors", "NaN", "backbone");
        CliProcess.Run("detect", "--weights", folder["run/last.safetensors"], "x.png").Fails(1, "last.safetensors", "NaN");
    }

    [Fact]
    public void ARunIsNotWrittenIntoTheData()
    {
        string data = Path.GetDirectoryName(run.Data)!;
        CliProcess.Run(run.TrainArguments(data)).Fails(1, "never written to");
        CliProcess.Run(run.TrainArguments(Path.Combine(data, "run"), data)).Fails(1, "never written to");
        CliProcess.Run("detect", "--weights", run.Best, Path.Combine(data, "images", "val"), "--out", Path.Combine(data, "images", "val")).Fails(2, "another folder");
    }

    [Fact]
    public void PicturesOfOneNameGetACopyEach()
    {
        using var folder = new TempFolder();
        string picture = Directory.GetFiles(Path.Combine(Path.GetDirectoryName(run.Data)!, "images", "val"))[0];
        foreach (string part in new[] { "a b", "ü" })
        {
            Directory.CreateDirectory(folder[part]);
            File.Copy(picture, Path.Combine(folder[part], "Bild 漢.jpg"));
        }
        var found = CliProcess.Run("detect", "--weights", run.Best, folder["*/*.jpg"], "--out", folder["out"], "--conf", "0", "--json", "-").Json().AsArray();
        Assert.Equal(["Bild 漢-2.png", "Bild 漢.png"], Directory.GetFiles(folder["out"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(2, found.Select(d => (string?)d!["file_name"]).Distinct().Count());
        CliProcess.Run("detect", "--weights", run.Best, picture, folder["*.nope"]).Fails(1, "*.nope", "no pictures");
    }

    [Fact]
    public void ValidationWithoutObjectsStillGivesWeights()
    {
        using var folder = new TempFolder();
        string data = CopyData(folder), annotations = folder["data/annotations/val.json"];
        var truth = JsonNode.Parse(File.ReadAllText(annotations))!;
        truth["annotations"] = new JsonArray();
        File.WriteAllText(annotations, truth.ToJsonString());
        var trained = CliProcess.Run([.. run.TrainArguments(folder["run"], data), "--epochs", "1"]);
        Assert.True(trained.ExitCode == 0, trained.Error);
        Assert.True(File.Exists(folder["run/best.safetensors"]));
        Assert.Contains("AP -", trained.Output);
    }

    [Fact]
    public void VocNamesMayHoldSpaces()
    {
        using var folder = new TempFolder();
        string picture = Directory.GetFiles(Path.Combine(Path.GetDirectoryName(run.Data)!, "images", "val"))[0];
        Directory.CreateDirectory(folder["voc/JPEGImages"]);
        foreach (string name in new[] { "my picture", "photo 1" })
        {
            File.Copy(picture, folder[$"voc/JPEGImages/{name}.jpg"]);
            folder.Write($"voc/Annotations/{name}.xml", "<annotation><object><name>ä b</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object></annotation>");
        }
        folder.Write("voc/ImageSets/Main/train.txt", "my picture  1\nphoto 1\n");
        var stats = CliProcess.Run("data", "stats", folder["voc"], "--json", "-").Json();
        Assert.Equal(2, (int)stats["train"]!["boxes"]!);
    }

    private static long[] Evaluations(string folder) =>
        [.. File.ReadLines(Path.Combine(folder, "metrics.jsonl")).Select(l => JsonNode.Parse(l)!).Where(l => (string?)l["type"] == "evaluation").Select(l => (long)l["step"]!)];

    private string CopyData(TempFolder folder)
    {
        Copy(Path.GetDirectoryName(run.Data)!, folder["data"]);
        return folder["data/data.yaml"];
    }

    private void CopyRun(TempFolder folder) => Copy(run.Run, folder["run"]);

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }
    }
}
