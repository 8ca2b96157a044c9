namespace CudaKernels.Detection;

/// <summary>A way to run a backbone in less memory.</summary>
/// <param name="Segments">For <see cref="Backbone.Segments"/>; empty keeps everything.</param>
/// <param name="Stages">How many of stem, c2, c3, c4 and c5 are recomputed.</param>
/// <param name="PeakBytes">The most that a step holds beside weights, gradients and optimiser state.</param>
/// <param name="ExtraWork">Multiply-accumulates that run a second time, as a share of those of one forward pass.</param>
internal sealed record RecomputePlan(IReadOnlyList<int> Segments, int Stages, long PeakBytes, double ExtraWork);
