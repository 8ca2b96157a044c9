using BenchmarkDotNet.Attributes;
using CudaKernels.Cli;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Benchmarks;

/// <summary>
/// The kernels at the layer shapes of the shipped detectors (cases.json), warm: the same work as the `bench` verb, under
/// BenchmarkDotNet's statistics. Allocated bytes must stay near zero: kernels take scratch memory from the device's pool.
/// </summary>
[MemoryDiagnoser]
public class KernelBenchmarks
{
    private static readonly IReadOnlyList<BenchCase> All = BenchCase.ReadFile(Path.Combine(AppContext.BaseDirectory, "cases.json"), Console.Error.WriteLine);

    private CpuDevice device = null!;
    private BenchTensors tensors = null!;
    private Action work = null!;

    public static IEnumerable<string> Names => All.Select(c => c.Name);

    [ParamsSource(nameof(Names))]
    public string Case { get; set; } = "";

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    [GlobalSetup]
    public void Prepare()
    {
        device = new CpuDevice(Threads);
        tensors = new BenchTensors(device);
        work = BenchCommand.Prepare(All.First(c => c.Name == Case), tensors)!;
    }

    [GlobalCleanup]
    public void Free()
    {
        tensors.Dispose();
        device.Dispose();
    }

    [Benchmark]
    public void Run() => work();
}
