using BenchmarkDotNet.Attributes;
using CudaKernels.Detection;

namespace CudaKernels.Benchmarks;

/// <summary>TTFNet-18 at 512 pixels from levels to output maps, the same weights here and, through the ONNX export, in ONNX Runtime.</summary>
[MemoryDiagnoser]
public class InferenceBenchmarks
{
    private InferenceCase ours = null!;
    private OnnxRuntimePeer? peer;
    private OnnxTensor levels = null!;

    [Params(1, 2)]
    public int Threads { get; set; }

    [GlobalSetup(Target = nameof(CudaKernels))]
    public void Prepare() => ours = new InferenceCase("ttfnet-18", 512, Threads);

    [GlobalSetup(Target = nameof(OnnxRuntime))]
    public void PreparePeer()
    {
        Prepare();
        string path = Path.GetTempFileName();
        ours.Export(path);
        peer = new OnnxRuntimePeer(path, Threads);
        File.Delete(path);
        levels = ours.Levels;
    }

    [GlobalCleanup]
    public void Free()
    {
        peer?.Dispose();
        ours.Dispose();
    }

    [Benchmark]
    public void CudaKernels() => ours.Run();

    [Benchmark(Baseline = true)]
    public void OnnxRuntime() => peer!.Run(levels);
}
