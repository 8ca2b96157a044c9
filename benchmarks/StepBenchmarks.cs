namespace CudaKernels.Benchmarks;

/// <summary>Whole training steps: forward, losses, backward and the optimiser.</summary>
public class StepBenchmarks : CaseBenchmarks
{
    public override IEnumerable<string> Names => NamesWhere(wholeSteps: true);
}
