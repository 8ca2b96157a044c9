using CudaKernels.Layers;

namespace CudaKernels.Detection;

/// <summary>The named, already weighted scalars that make up a training loss.</summary>
internal sealed record LossParts(IReadOnlyList<(string Name, Tensor Value)> Parts)
{
    /// <summary>Roots for <see cref="StepScope.Backward(ReadOnlySpan{Tensor})"/>.</summary>
    public Tensor[] Values => [.. Parts.Select(p => p.Value)];
}
