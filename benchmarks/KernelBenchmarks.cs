namespace CudaKernels.Benchmarks;

/// <summary>The kernels at the layer shapes of the shipped detectors.</summary>
public class KernelBenchmarks : CaseBenchmarks
{
    public override IEnumerable<string> Names => NamesWhere(wholeSteps: false);
}
