using BenchmarkDotNet.Attributes;
using static TorchSharp.torch;

namespace CudaKernels.Benchmarks;

/// <summary>The baseline: the same case in libtorch. A case that its C# face lacks is NA, as is every one where its libraries do not load.</summary>
public abstract partial class CaseBenchmarks
{
    private TorchSharpCase? peer;

    [GlobalSetup(Target = nameof(TorchSharp))]
    public void PreparePeer()
    {
        set_num_threads(Threads);
        random.manual_seed(1);
        peer = new TorchSharpCase(Find(Case));
    }

    [GlobalCleanup(Target = nameof(TorchSharp))]
    public void FreePeer() => peer?.Dispose();

    [Benchmark(Baseline = true)]
    public void TorchSharp() => peer!.Run();
}
