namespace CudaKernels.Kernels;

/// <summary>A kernel was asked for something it cannot do. The message names operation, argument, expectation and remedy.</summary>
public sealed class KernelException(string message) : Exception(message);
