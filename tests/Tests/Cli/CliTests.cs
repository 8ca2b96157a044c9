using System.Text.Json.Nodes;
using Xunit;

namespace CudaKernels.Tests;

/// <summary>The command as a user meets it: names, flags, exit codes, one clear line for every mistake.</summary>
public sealed class CliTests(TinyRun run) : IClassFixture<TinyRun>
{
    [Theory]
    [InlineData("demo")]
    [InlineData("train")]
    [InlineData("eval")]
    [InlineData("detect")]
    [InlineData("export")]
    [InlineData("data", "synth")]
    [InlineData("data", "check")]
    [InlineData("data", "stats")]
    [InlineData("models")]
    [InlineData("bench")]
    [InlineData("memory")]
    [InlineData("kernels")]
    [InlineData("env")]
    public void HelpShowsAnExample(params string[] verb)
    {
        var help = CliProcess.Run([.. verb, "--help"]);
        Assert.Equal(0, help.ExitCode);
        Assert.Contains("cudakernels " + string.Join(' ', verb), help.Output);
        Assert.Contains("Example", help.Output);
    }

    [Theory]
    [InlineData("--wrong")]
    [InlineData("trian")]
    [InlineData("train", "--epochs", "many")]
    [InlineData("eval", "--weights", "a.safetensors")]
    [InlineData("eval", "--gt", "a.json", "--dt", "b.json", "--max-dets", "100,10")]
    [InlineData("models", "ttfnet-18", "--classes", "0")]
    [InlineData("demo", "--device", "cuda:x")]
    [InlineData("demo", "--device", "gpu")]
    [InlineData("demo", "--device", "cpu", "--precision", "fp16")]
    [InlineData("detect", "a.jpg", "--weights", "a.safetensors", "--device", "cpu:1")]
    [InlineData("kernels", "--out", "a", "--arch", "sm_20")]
    [InlineData("kernels", "--out", "a", "--ptxas", "no/such/file")]
    [InlineData("demo", "--threads", "-1")]
    [InlineData("bench", "--cases", "a.json", "--threads", "100000")]
    [InlineData("memory", "--batch", "0")]
    [InlineData("memory", "--budget", "-1")]
    [InlineData("memory", "--segments", "99")]
    [InlineData("models", "--json", "")]
    [InlineData("models", "--classes", "2000000000")]
    [InlineData("train", "--nosuch")]
    [InlineData("train", "--seed", "-1")]
    public void WrongUseEndsWithTwo(params string[] arguments) => CliProcess.Run(arguments).Fails(2);

    [Theory]
    [InlineData("cuda:7")]
    [InlineData("opencl:99")]
    public void AnAbsentDeviceIsNamed(string device) => CliProcess.Run("demo", "--device", device).Fails(1, device);

    [Fact]
    public void APrecisionTakesTensorCores() =>
        CliProcess.Run("demo", "--device", "cpu", "--precision", "tf32").Fails(1, "precision tf32 expects a CUDA device with tensor cores (sm_80 or newer) but the device is cpu; use precision fp32");

    [Fact]
    public void KernelsWritesOneFileAKernel()
    {
        using var folder = new TempFolder();
        var names = CliProcess.Run("kernels", "--arch", "sm_80", "--out", folder["ptx"], "--json", "-").Json().AsArray();
        Assert.NotEmpty(names);
        Assert.Contains(".target sm_80", File.ReadAllText(Path.Combine(folder["ptx"], "GpuDevice.FillKernel.ptx")));
    }

    [Fact]
    public void AnUnknownVerbNamesTheNearest() => CliProcess.Run("data", "chek").Fails(2, "chek", "check", "data --help");

    [Fact]
    public void AnUnknownModelNamesTheNearest() =>
        CliProcess.Run("models", "ttfnet-81").Fails(1, "ttfnet-81", "ttfnet-18");

    [Fact]
    public void AnUnknownKeyNamesTheNearest() =>
        CliProcess.Run("train", "--data", run.Data, "warmup_stepz=3").Fails(1, "warmup_stepz", "warmup_steps");

    [Fact]
    public void AConfigurationFileGivesPathAndLine()
    {
        using var folder = new TempFolder();
        string path = folder.Write("config.yaml", "batch: 4\nepochs: lots\n");
        CliProcess.Run("train", "--data", run.Data, "--config", path, "--out", folder["run"]).Fails(1, path + ":2", "epochs", "lots");
    }

    [Fact]
    public void MissingDataIsOneLine() => CliProcess.Run("train", "--data", "nowhere/data.yaml").Fails(1, "nowhere/data.yaml");

    [Fact]
    public void ARunIsNotOverwritten() =>
        CliProcess.Run(run.TrainArguments(run.Run)).Fails(1, run.Run, "resume");

    [Fact]
    public void AnUnwritableFolderIsOneLine() =>
        CliProcess.Run(run.TrainArguments("/proc/no/run")).Fails(1, "/proc/no/run");

    [Fact]
    public void ModelsGivesParametersAndCost()
    {
        var model = CliProcess.Run("models", "ttfnet-18", "--json", "-").Json();
        Assert.Equal(14_208_933, (long)model["parameters"]!);
        Assert.Equal(18.628, (double)model["gmac"]!, 3);
        Assert.NotEmpty(model["stages"]!.AsArray());
    }

    [Fact]
    public void EnvSpeaksOfProcessorAndLibraries()
    {
        var facts = CliProcess.Run("env", "--json", "-").Json().AsObject();
        Assert.Contains("avx2", facts.Select(f => f.Key));
        foreach (string key in (string[])["cuda driver", "cuda devices", "opencl devices", "--device auto"])
            Assert.Contains(key, facts.Select(f => f.Key));
    }

    [Fact]
    public void DataVerbsDescribeTheSet()
    {
        var check = CliProcess.Run("data", "check", run.Data, "--json", "-").Json();
        Assert.Equal(0, (int)check["fatal"]!);
        var stats = CliProcess.Run("data", "stats", run.Data, "--json", "-").Json();
        Assert.Equal(20, (int)stats["train"]!["images"]! + (int)stats["val"]!["images"]!);
    }

    [Fact]
    public void TrainLeavesItsFolder()
    {
        foreach (string name in new[] { "config.yaml", "metrics.jsonl", "metrics.json", "last.safetensors", "best.safetensors", "curves.png", "batch.png", "precision_recall.png", "confusion.png" })
            Assert.True(File.Exists(Path.Combine(run.Run, name)), name);
        var metrics = JsonNode.Parse(File.ReadAllText(Path.Combine(run.Run, "metrics.json")))!;
        Assert.InRange((double)metrics["AP50"]!, -1, 1);
        Assert.Equal(8, File.ReadLines(Path.Combine(run.Run, "metrics.jsonl")).Count(l => l.Contains("\"type\":\"step\"")));
    }

    [Fact]
    public void EvalOfWeightsAgreesWithTheRun()
    {
        var result = CliProcess.Run("eval", "--weights", run.Best, "--data", run.Data, "--json", "-").Json();
        double best = File.ReadLines(Path.Combine(run.Run, "metrics.jsonl")).Select(l => JsonNode.Parse(l)!)
            .Where(l => (string?)l["type"] == "evaluation").Max(l => (double)l["AP"]!);
        Assert.Equal(best, (double)result["stats"]!["AP"]!, 9);
    }

    [Fact]
    public void DetectWritesPicturesAndResultsAndNamesWhatItCannotRead()
    {
        using var folder = new TempFolder();
        string images = Path.Combine(Path.GetDirectoryName(run.Data)!, "images", "val");
        string broken = folder.Write("broken.jpg", "no picture");
        var found = CliProcess.Run("detect", "--weights", run.Best, images, broken, "--conf", "0.01", "--out", folder["out"], "--json", folder["results.json"]);
        Assert.Equal(1, found.ExitCode);
        Assert.Contains("broken.jpg", found.Error);
        Assert.Equal(Directory.GetFiles(images).Length, Directory.GetFiles(folder["out"], "*.png").Length);
        foreach (var result in JsonNode.Parse(File.ReadAllText(folder["results.json"]))!.AsArray())
            Assert.Equal(4, result!["bbox"]!.AsArray().Count);
    }

    [Fact]
    public void EvalOfFilesKeepsStandardOutputForJson()
    {
        using var folder = new TempFolder();
        string truth = folder.Write("gt.json", """
            {"images": [{"id": 1, "width": 100, "height": 100}], "categories": [{"id": 7, "name": "cat"}],
             "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}]}
            """);
        string results = folder.Write("dt.json", """
            [{"image_id": 1, "category_id": 7, "bbox": [60, 60, 20, 20], "score": 0.9}, {"image_id": 1, "category_id": 7, "bbox": [10, 10, 20, 20], "score": 0.8}]
            """);
        var result = CliProcess.Run("eval", "--gt", truth, "--dt", results, "--json", "-").Json();
        Assert.Equal(0.5, (double)result["stats"]!["AP"]!, 9);
        Assert.Single(result["per_class"]!.AsArray());
    }

    [Fact]
    public void BenchPrintsOneLineACaseAndGoesOnAfterABadOne()
    {
        using var folder = new TempFolder();
        string cases = folder.Write("cases.json", """
            {"cases": [{"case": "good", "op": "conv2d_forward", "n": 1, "cin": 4, "h": 8, "w": 8, "cout": 8, "kernel": 3, "stride": 1, "padding": 1},
                       {"case": "strange", "op": "no_such_operation", "n": 1},
                       {"case": "short", "op": "conv2d_forward", "n": 1},
                       {"case": "no stride", "op": "max_pool_train", "n": 1, "cin": 4, "h": 8, "w": 8, "kernel": 2, "stride": 0, "padding": 0},
                       {"case": "fraction", "op": "sgd_momentum_step", "parameters": 1.5},
                       {"case": "misspelt", "op": "sgd_momentum_step", "parameters": 10, "momentun": 0.9},
                       {"op": "sgd_momentum_step", "parameters": 10},
                       {"case": "text", "op": "sgd_momentum_step", "parameters": "10"},
                       {"case": "last", "op": "sgd_momentum_step", "parameters": 1000}]}
            """);
        var bench = CliProcess.Run("bench", "--cases", cases, "--seconds", "0.05", "--json", "-");
        Assert.Equal(1, bench.ExitCode);
        var lines = bench.Output.Trim().Split('\n').Select(l => JsonNode.Parse(l)!).ToArray();
        Assert.Equal(["good", "strange", "short", "no stride", "fraction", "misspelt", "text", "last"], lines.Select(l => (string?)l["case"]));
        Assert.True((double)lines[0]["ms"]! > 0);
        Assert.True((bool)lines[1]["skipped"]!);
        Assert.Equal("line 3: case short: conv2d_forward needs the key kernel", (string?)lines[2]["error"]);
        Assert.Contains("stride", (string?)lines[3]["error"]);
        Assert.Contains("whole number", (string?)lines[4]["error"]);
        Assert.Equal("line 6: case misspelt: sgd_momentum_step has no key momentun; it has parameters", (string?)lines[5]["error"]);
        Assert.Contains("line 7: expects {\"case\": name", bench.Error);
        Assert.Equal("line 8: case text: parameters expects a number but is \"10\"", (string?)lines[6]["error"]);
        Assert.True((double)lines[7]["ms"]! > 0);
        CliProcess.Run("bench", "--cases", cases, "--only", "nothing").Fails(1, "nothing");
    }

    /// <summary>The small inputs take turns; the copy of a block is the first row, what rates are held against.</summary>
    [Fact]
    public void BenchOnAGpuRotatesItsInputs()
    {
        GpuUnderTest.Require();
        using var folder = new TempFolder();
        string cases = folder.Write("cases.json", """{"cases": [{"case": "step", "op": "sgd_momentum_step", "parameters": 1000}]}""");
        var lines = CliProcess.Run("bench", "--cases", cases, "--device", GpuUnderTest.Name, "--seconds", "0.01", "--json", "-").Output.Trim().Split('\n').Select(l => JsonNode.Parse(l)!).ToArray();
        Assert.Equal(["copy", "step"], lines.Select(l => (string?)l["case"]));
        Assert.All(lines, line => Assert.True((double)line["gb_per_s"]! > 0));
        Assert.Equal(8, (int)lines[1]["input_sets"]!);
        Assert.True((bool)lines[1]["cached"]!);
    }
}
