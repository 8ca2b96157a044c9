using BenchmarkDotNet.Attributes;
using CudaKernels.Cli;
using CudaKernels.Kernels.Devices;

namespace CudaKernels.Benchmarks;

/// <summary>
/// Cases of cases.json, warm: the same work as the `bench` verb, under BenchmarkDotNet's statistics. Allocated bytes must stay near zero: kernels
/// take scratch memory from the device's pool.
/// </summary>
[MemoryDiagnoser]
public abstract partial class CaseBenchmarks
{
    private static readonly IReadOnlyList<BenchCase> All = BenchCase.ReadFile(Path.Combine(AppContext.BaseDirectory, "cases.json"), Console.Error.WriteLine);

    private CpuDevice device = null!;
    private BenchTensors tensors = null!;
    private Action work = null!;

    public abstract IEnumerable<string> Names { get; }

    [ParamsSource(nameof(Names))]
    public string Case { get; set; } = "";

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    [GlobalSetup(Target = nameof(CudaKernels))]
    public void Prepare()
    {
        device = new CpuDevice(Threads);
        tensors = new BenchTensors(device);
        work = BenchCommand.Prepare(Find(Case), tensors)!;
    }

    [GlobalCleanup(Target = nameof(CudaKernels))]
    public void Free()
    {
        tensors.Dispose();
        device.Dispose();
    }

    [Benchmark]
    public void CudaKernels() => work();

    internal static BenchCase Find(string name) => All.First(c => c.Name == name);

    internal static bool Is(Type type) => type.IsAssignableTo(typeof(CaseBenchmarks));

    protected static IEnumerable<string> NamesWhere(bool wholeSteps) => All.Where(c => IsStep(c) == wholeSteps).Select(c => c.Name);

    private static bool IsStep(BenchCase work) => work.Operation.EndsWith("_train_step", StringComparison.Ordinal);
}
