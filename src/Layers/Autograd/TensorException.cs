namespace CudaKernels.Layers;

/// <summary>A tensor was used after its life, on the wrong device or in the wrong shape. The message names operation and remedy.</summary>
public sealed class TensorException(string message) : Exception(message);
