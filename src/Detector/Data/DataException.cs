namespace CudaKernels.Detection;

/// <summary>
/// A file of the user is wrong or cannot be read. The message is complete by itself (path, place in the file, what was expected,
/// what came, remedy) and is meant to be shown alone, without a stack trace.
/// </summary>
/// <param name="message">The whole message, one or a few sentences.</param>
/// <param name="inner">The error that revealed the problem, for debuggers.</param>
public sealed class DataException(string message, Exception? inner = null) : Exception(message, inner);
