using CudaKernels.Kernels;

namespace CudaKernels.Layers;

/// <summary>
/// The ranks over which batch norms share their statistics. All of them run the same layers in the same order, so that these calls meet;
/// views lie on the rank's own device, and whatever runs there afterwards sees the result.
/// </summary>
internal interface INormGroup
{
    int Size { get; }

    /// <summary>Writes the parts of all ranks to <paramref name="all"/>, in the same order on each.</summary>
    void Gather(TensorView part, TensorView all);

    /// <summary>Replaces the view by its sum over all ranks, the same bits on each.</summary>
    void Sum(TensorView view);
}
