using System.Globalization;
using BenchmarkDotNet.Running;
using CudaKernels.Benchmarks;

if (args is ["onnx", .. var rest])
    return OnnxRuntimeCheck.Run(rest is [var model, ..] ? model : "ttfnet-18", rest is [_, var size] ? int.Parse(size, CultureInfo.InvariantCulture) : 512);
BenchmarkSwitcher.FromAssembly(typeof(KernelBenchmarks).Assembly).Run(args);
return 0;
