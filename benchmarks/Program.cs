using System.Globalization;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Exporters.Json;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using CudaKernels.Benchmarks;

if (args is ["onnx", .. var rest])
    return OnnxRuntimeCheck.Run(rest is [var model, ..] ? model : "ttfnet-18", rest is [_, var size] ? int.Parse(size, CultureInfo.InvariantCulture) : 512);

// Everything in this process, so that the peak beside a figure is the peak that this very process reaches. A mutator leaves --job its say.
var here = Job.Default.WithToolchain(new InProcessEmitToolchain(TimeSpan.FromHours(1), logOutput: true)).AsMutator();
// Tables as Markdown and CSV are part of the default.
var config = ManualConfig.Create(DefaultConfig.Instance).AddJob(here).AddExporter(JsonExporter.Full).AddColumn([.. RooflineColumn.All()]);
BenchmarkSwitcher.FromAssembly(typeof(KernelBenchmarks).Assembly).Run(args, config);
return 0;
