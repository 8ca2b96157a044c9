using System.Globalization;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Exporters.Json;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using CudaKernels.Benchmarks;

if (args is ["onnx", .. var rest])
    return OnnxRuntimeCheck.Run(Model(rest), Number(rest, 1, 512));
if (args is ["scaling", .. var what])
    return RankScaling.Run(Model(what), Number(what, 1, 256), images: Number(what, 2, 8), rounds: Number(what, 3, 15));

// Everything in this process, so that the peak beside a figure is the peak that this very process reaches. A mutator leaves --job its say.
var here = Job.Default.WithToolchain(new InProcessEmitToolchain(TimeSpan.FromHours(1), logOutput: true)).AsMutator();
// Tables as Markdown and CSV are part of the default.
var config = ManualConfig.Create(DefaultConfig.Instance).AddJob(here).AddExporter(JsonExporter.Full).AddColumn([.. RooflineColumn.All()]);
BenchmarkSwitcher.FromAssembly(typeof(KernelBenchmarks).Assembly).Run(args, config);
return 0;

static string Model(string[] words) => words is [var model, ..] ? model : "ttfnet-18";

static int Number(string[] words, int place, int otherwise) => words.Length > place ? int.Parse(words[place], CultureInfo.InvariantCulture) : otherwise;
