namespace CudaKernels.Detection;

/// <summary>Whether a training step keeps the backbone's activations or computes them again in its backward pass. The results are the same bits.</summary>
internal enum RecomputeMode
{
    /// <summary>As few stages as are needed for the step to fit into the memory of the device.</summary>
    Auto,

    /// <summary>Everything is kept.</summary>
    None,

    /// <summary>The stages that leave the smallest peak.</summary>
    Stages,
}
