using BenchmarkDotNet.Running;
using CudaKernels.Benchmarks;

BenchmarkSwitcher.FromAssembly(typeof(KernelBenchmarks).Assembly).Run(args);
